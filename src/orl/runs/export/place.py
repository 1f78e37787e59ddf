"""The folder of an export: it appears whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orl.errors import UsageError
from orl.files import TEMPORARY, publish_folder, remove_folder, saving
from orl.locking import locked

RECORD, CARD = "export.json", "model-card.md"


def check_place(target: Path, force: bool) -> None:
    """UsageError unless an export may appear at `target`: nothing is there, or with `force` an earlier export."""
    if target.exists() and not (target / RECORD).is_file():
        raise UsageError(f"{target} exists and is no export; choose another folder with --out")
    if target.exists() and not force:
        raise UsageError(f"{target} holds an export already; replace it with --force, or choose another with --out")


@contextmanager
def building(target: Path, force: bool) -> Iterator[Path]:
    """A hidden folder that becomes `target` at the end of the block, or is gone where that is not reached.

    Raises:
        BusyError: another process builds the same. UsageError: as `check_place`. UnwritableError: the place cannot be
            written to.
    """
    hidden = target.with_name(f"{TEMPORARY}{target.name}")
    with locked(target.parent, f".{target.name}.lock", str(target)):
        check_place(target, force)
        try:
            with saving(target):
                shutil.rmtree(hidden, ignore_errors=True)  # what a killed process left
                hidden.mkdir()
            yield hidden
            with saving(target):
                if target.exists():
                    remove_folder(target)
                publish_folder(hidden, target)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
