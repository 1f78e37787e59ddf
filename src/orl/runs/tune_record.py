"""`tune.json`: what was asked of a tune, what was decided and what it took so far, so that it can be gone on with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orl.errors import DataError, UsageError
from orl.files import TEMPORARY, saving
from orl.locking import LOCK
from orl.runs.claim import clear_folder
from orl.runs.directory import SCHEMA, check_schema, flat_settings, read_json, versions, write_json
from orl.runs.reporter import Reporter

FILE = "tune.json"
TICK_SECONDS = 10.0  # between two times that the seconds of a stage under way are written down


class TuneRecord:
    """An open folder of a tune. Every change is on disk before it is acted on."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder, self.content = folder, content
        self._stage: tuple[str, str | None] | None = None
        self._counted = 0.0  # the reading of the clock up to which the stage's seconds are in `content`

    @property
    def finished(self) -> bool:
        """Whether a selection was made."""
        return self.content["status"] == "finished"

    @property
    def spent(self) -> float:
        """Seconds of all stages so far, earlier calls included; of a killed one all but the last `TICK_SECONDS`, and
        what it spent between two reports of progress."""
        return sum(self.content["seconds"].values())

    def update(self, **values: Any) -> None:
        """Change entries."""
        self.content |= values
        write_json(self.folder / FILE, self.content)

    def candidate(self, name: str) -> dict[str, Any]:
        """The entry of a candidate."""
        return self.content["candidates"][name]

    def update_candidate(self, name: str, **values: Any) -> None:
        """Change the entry of a candidate."""
        self.candidate(name).update(values)
        self.update()

    @contextmanager
    def timed(self, stage: str, candidate: str | None = None) -> Iterator[None]:
        """Adds the seconds of the block to those of `stage`, and of a candidate; also where it is left by an error."""
        self._stage, self._counted = (stage, candidate), time.perf_counter()
        try:
            yield
        finally:
            self.tick(0.0)
            self._stage = None

    def tick(self, after: float = TICK_SECONDS) -> None:
        """Write down what the stage under way took so far, if that is `after` seconds more than is known."""
        now = time.perf_counter()
        if self._stage is None or now - self._counted < after:
            return
        (stage, candidate), seconds = self._stage, self.content["seconds"]
        took, self._counted = now - self._counted, now
        seconds[stage] = seconds.get(stage, 0.0) + took
        if candidate is not None:
            self.candidate(candidate)["seconds"] += took
        self.update()


class Ticking(Reporter):
    """Passes on what a stage says, and lets the record know that time went by."""

    def __init__(self, reporter: Reporter, record: TuneRecord) -> None:
        self._reporter, self._record = reporter, record

    def message(self, text: str) -> None:
        """Pass it on."""
        self._record.tick()
        self._reporter.message(text)

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Pass it on."""
        self._reporter.start(title, total, unit, done)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """Pass it on."""
        self._record.tick()
        self._reporter.advance(done, metrics)

    def finish(self) -> None:
        """Pass it on."""
        self._reporter.finish()


def check_tune(folder: Path, request: Mapping[str, Any], *, force: bool) -> bool:
    """Whether the folder holds a tune of the same request that is finished.

    Raises:
        UsageError: the folder holds something else, or a tune of another request (unless `force`).
        DataError: its record cannot be read.
    """
    if (folder / FILE).is_file():
        if force:
            return False
        record = TuneRecord(folder, _read(folder))
        _refuse_other(folder, record.content["request"], request)
        return record.finished
    if folder.exists() and not (folder.is_dir() and _is_fresh(folder)):
        raise UsageError(f"{folder} exists and is not the folder of a tune; choose another with --out")
    return False


def open_tune(folder: Path, request: Mapping[str, Any], details: Mapping[str, Any], *, force: bool) -> TuneRecord:
    """The tune in the folder, if it is of the same request, else a new one; for whoever has claimed the folder.

    Args:
        request: what must agree for one to go on, as plain values. details: entries of a new record.

    Raises:
        UsageError: the folder holds something else, or a tune of another request (unless `force`).
        DataError: its record cannot be read.
    """
    check_tune(folder, request, force=force)
    if (folder / FILE).is_file():
        if not force:
            return TuneRecord(folder, _read(folder))
        clear_folder(folder, last=FILE)
    content = {"schema": SCHEMA, "kind": "tune", "status": "running", "request": dict(request), "seconds": {}}
    record = TuneRecord(folder, content | dict(details))
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
    record.update(versions=versions())
    return record


def _is_fresh(folder: Path) -> bool:
    """Nothing in it, or where a tune was killed before its record was there."""
    return all(entry.name == LOCK or entry.name.startswith(TEMPORARY) for entry in folder.iterdir())


def _read(folder: Path) -> dict[str, Any]:
    content = read_json(folder / FILE)
    lacking = [key for key in ("request", "status", "seconds", "candidates") if key not in content]
    if lacking:
        raise DataError(f"{folder / FILE} is damaged: it lacks {', '.join(lacking)}; start again with --force")
    check_schema(folder, content)
    return content


def _refuse_other(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    before, now = flat_settings(there), flat_settings(wanted)
    for key in now | before:
        if before.get(key) != now.get(key):
            raise UsageError(
                f"{folder} holds another tune: {key} is {before.get(key)!r} there and {now.get(key)!r} now;"
                " choose another folder with --out, or replace it with --force"
            )
