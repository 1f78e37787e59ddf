"""A dataset folder appears whole or not at all: built hidden beside the others, then renamed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from orl.data.local import datasets_path
from orl.errors import DataError


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


def publish(built: Path, target: Path, root: Path) -> None:
    """Rename the folder `built` to `target` below `root`; a dataset that is already there is kept."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for namespace in target.relative_to(root).parents[:-1]:  # Minari knows a namespace by this file
        with contextlib.suppress(FileExistsError), open(root / namespace / "namespace_metadata.json", "x") as file:
            file.write("{}")
    try:
        os.rename(built, target)
    except OSError:
        if not (target / "data" / "metadata.json").is_file():
            raise
