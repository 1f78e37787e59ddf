"""A dataset folder appears whole or not at all: built hidden beside the others, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from orl.data.local import datasets_path
from orl.errors import BusyError, DataError, UnwritableError
from orl.files import sync_folder, sync_tree
from orl.locking import LOCK, locked

IMPORTING, RECORDING = ".importing-", ".recording-"
REPLACED = "replaced"  # where a work folder keeps the dataset that is about to be replaced, under its id


def writable_root() -> Path:
    """The folder of local datasets, made if need be.

    Raises:
        DataError: it cannot be written to.
    """
    root = datasets_path()
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    if not os.access(root, os.W_OK):
        raise DataError(f"cannot record into {root}: not writable; set MINARI_DATASETS_PATH to a folder that is")
    return root


@contextlib.contextmanager
def work_folder(prefix: str, dataset_id: str | None = None) -> Iterator[Path]:
    """A hidden folder beside the datasets to build one in, gone afterwards; what killed processes left goes first.

    Args:
        dataset_id: only one process may build this one; None: as many as like.

    Raises:
        DataError: the datasets folder cannot be written to. BusyError: another process builds the same dataset.
    """
    root = writable_root()
    clear_left(root)
    name = uuid.uuid4().hex if dataset_id is None else dataset_id.replace("/", ".")  # an id has no dots
    work = root / f"{prefix}{name}"
    with locked(work, what=dataset_id):
        try:
            yield work
        finally:
            _clear(work, root)
    _remove(work)


def clear_left(root: Path) -> None:
    """Remove the work folders that killed processes left below `root`, where it can be written to."""
    for left in (*root.glob(f"{IMPORTING}*"), *root.glob(f"{RECORDING}*")):
        with contextlib.suppress(BusyError, UnwritableError), locked(left):
            _clear(left, root)
        _remove(left)


def _remove(work: Path) -> None:
    """Remove a folder that was cleared, unless another process has it by now."""
    with contextlib.suppress(OSError):
        work.rmdir()


def _clear(work: Path, root: Path) -> None:
    """Empty a work folder, and give back the dataset that was to be replaced where nothing came in its place."""
    for metadata in list((work / REPLACED).glob("**/data/metadata.json")):
        dataset = metadata.parent.parent
        target = root / dataset.relative_to(work / REPLACED)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(dataset, target)
    for each in work.iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        elif each.name != LOCK:
            each.unlink()


def publish(built: Path, target: Path, root: Path) -> None:
    """Put `built` on disk and rename it to `target` below `root`; a dataset that is already there is kept."""
    sync_tree(built)
    target.parent.mkdir(parents=True, exist_ok=True)
    for namespace in target.relative_to(root).parents[:-1]:  # Minari knows a namespace by this file
        with contextlib.suppress(FileExistsError), open(root / namespace / "namespace_metadata.json", "x") as file:
            file.write("{}")
    try:
        os.rename(built, target)
    except OSError:
        if not (target / "data" / "metadata.json").is_file():
            raise
    sync_folder(target.parent)
