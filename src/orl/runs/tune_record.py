"""`tune.json`: what was asked of a tune, what was decided and what it took so far, so that it can be gone on with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orl.errors import DataError, UsageError
from orl.runs.directory import SCHEMA, flat_settings, read_json, versions, write_json

FILE = "tune.json"


class TuneRecord:
    """An open folder of a tune. Every change is on disk before it is acted on."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder, self.content = folder, content

    @property
    def finished(self) -> bool:
        """Whether a selection was made."""
        return self.content["status"] == "finished"

    @property
    def spent(self) -> float:
        """Seconds of all stages so far, earlier calls included; not what a killed process did since its last stage."""
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
        began = time.perf_counter()
        try:
            yield
        finally:
            took, seconds = time.perf_counter() - began, self.content["seconds"]
            seconds[stage] = seconds.get(stage, 0.0) + took
            if candidate is not None:
                self.candidate(candidate)["seconds"] += took
            self.update()


def open_tune(folder: Path, request: Mapping[str, Any], details: Mapping[str, Any], *, force: bool) -> TuneRecord:
    """The tune in the folder, if it is of the same request, else a new one.

    Args:
        request: what must agree for one to go on, as plain values. details: entries of a new record.

    Raises:
        UsageError: the folder holds something else, or a tune of another request (unless `force`).
    """
    if (folder / FILE).is_file():
        if not force:
            record = TuneRecord(folder, _read(folder))
            _refuse_other(folder, record.content["request"], request)
            return record
        shutil.rmtree(folder)
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not the folder of a tune; choose another with --out")
    content = {"schema": SCHEMA, "kind": "tune", "status": "running", "request": dict(request), "seconds": {}}
    record = TuneRecord(folder, content | dict(details))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record.update(versions=versions())
    except OSError as error:
        raise UsageError(f"cannot write the folder {folder}: {error.strerror}; choose another with --out") from None
    return record


def _read(folder: Path) -> dict[str, Any]:
    content = read_json(folder / FILE)
    lacking = [key for key in ("request", "status", "seconds", "candidates") if key not in content]
    if lacking:
        raise DataError(f"{folder / FILE} is damaged: it lacks {', '.join(lacking)}; start again with --force")
    return content


def _refuse_other(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    before, now = flat_settings(there), flat_settings(wanted)
    for key in now | before:
        if before.get(key) != now.get(key):
            raise UsageError(
                f"{folder} holds another tune: {key} is {before.get(key)!r} there and {now.get(key)!r} now;"
                " choose another folder with --out, or replace it with --force"
            )
