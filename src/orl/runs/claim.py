"""A run folder for one process alone, which leaves it in order: nothing half written, a status that is true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from orl.errors import BusyError, UnwritableError
from orl.files import TEMPORARY, saving, sweep, write_text
from orl.locking import LOCK, locked


@contextmanager
def claimed(path: Path, work: bool = True) -> Iterator[None]:
    """Have the run folder `path` to oneself inside the block, made if need be; not where there is no `work` in it.

    What a killed process left half written is removed, and its lock from a run that was done. Where the block is
    interrupted the run's record says so.

    Raises:
        BusyError: another process is at work in it. UnwritableError: it cannot be written to.
    """
    if not work and (path / LOCK).exists():
        with suppress(BusyError, UnwritableError), locked(path):
            sweep(path)
    with locked(path) if work else nullcontext():
        if work:
            sweep(path)
        try:
            yield
        except KeyboardInterrupt:
            _mark_interrupted(path / "run.json")
            raise


def clear_folder(path: Path, last: str) -> None:
    """Empty a folder but for its lock, the file `last` at the end: killed before that it is still what it was."""
    hidden = path / f"{TEMPORARY}replaced"
    with saving(path):
        hidden.mkdir(exist_ok=True)
        for each in sorted(path.iterdir(), key=lambda each: each.name == last):
            if each.name != LOCK and not each.name.startswith(TEMPORARY):
                each.rename(hidden / each.name)
        shutil.rmtree(hidden)


def _mark_interrupted(file: Path) -> None:
    with suppress(OSError, ValueError):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.get("status") == "running":
            write_text(file, json.dumps(record | {"status": "interrupted"}, indent=2) + "\n")
