"""`orl report`: the page of some runs, once, or again whenever they have got further."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orl.errors import Interrupted, UsageError
from orl.files import saving, write_text
from orl.runs.interrupt import stop_requested
from orl.runs.report.gather import gather
from orl.runs.report.log import ReadLog, leave_log, read_log, remembering
from orl.runs.report.page import plotting_library, render
from orl.runs.report.sources import open_sources
from orl.runs.reporter import Reporter

GROWING = ("metrics.jsonl", "run.json", "eval/*.json", "diagnose/diagnosis.json", "predict/prediction.json")
LOOK_SECONDS = 1.0  # between two looks at the files of runs that are followed


def write_report(
    paths: Sequence[Path],
    out: Path,
    *,
    data: bool = True,
    refresh: int | None = None,
    read: ReadLog | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write the page of the runs at `paths` to `out`; returns its document with `file` and `bytes`.

    Args:
        data: whether to read the datasets, for histograms and coverage. refresh: seconds after which the page loads
            itself anew. read: what reads the datasets, in place of the usual.

    Raises:
        UsageError: `out` is a folder or no .html file. DataError: no runs there, or damaged ones. MissingError: the
        plotting library is not installed. UnwritableError: `out` cannot be written; nothing is written then.
    """
    _check_out(out)
    plotting_library()  # before work is done in vain
    document = gather(paths, reporter, read=read or (read_log if data else leave_log))
    page = render(document, refresh)
    with saving(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page)
    return document | {"file": str(out), "bytes": len(page.encode())}


def follow(
    paths: Sequence[Path],
    out: Path,
    *,
    data: bool = True,
    every: int = 10,
    reporter: Reporter | None = None,
    look: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Write the page again whenever the runs have got further, `every` seconds at most, until none of them is running.

    The last page no longer loads itself anew. Datasets are read once.

    Args:
        look: waits so many seconds between two looks at the runs.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the page is as of the last time. Others as `write_report`.
    """
    reporter, read = reporter or Reporter(), remembering(read_log if data else leave_log)
    seen, written = None, 0.0
    with stop_requested() as stopping:
        while True:
            state, running = _state(paths)
            if not running:
                return write_report(paths, out, read=read, reporter=reporter)
            if state != seen and (seen is None or time.monotonic() - written >= every):
                document = write_report(paths, out, refresh=every, read=read, reporter=reporter)
                seen, written = state, time.monotonic()
                reporter.message(f"{document['made']}: {out} written; {running} running")
            if stopping():
                write_report(paths, out, read=read, reporter=reporter)
                raise Interrupted(f"stopped following; {out} is as of now")
            look(LOOK_SECONDS)


def _state(paths: Sequence[Path]) -> tuple[list[tuple[str, int, int]], int]:
    """(size and time of every file that a report reads, how many runs are under way)."""
    sources = open_sources(list(paths))
    files = [file for source in sources for pattern in GROWING for file in sorted(source.path.glob(pattern))]
    state = [(str(file), status.st_size, status.st_mtime_ns) for file in files if (status := file.stat())]
    return state, sum(source.run.record["status"] == "running" for source in sources)


def _check_out(out: Path) -> None:
    """UsageError where the page would lie on a folder, or in a run folder under a name that runs use."""
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file, such as {out / 'report.html'}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: a report is an .html file")
