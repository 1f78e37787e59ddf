"""Reading arrays from HDF5 files that came from elsewhere.

A file may point outside itself (external links, external storage, virtual datasets), so that reading it would read
other files of the machine. Every step of a path must therefore be a hard link and every dataset stored in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from orl.errors import DataError

_BOMB_BYTES = 4 * 2**30  # a dataset may be larger than this only when the file really stores something like it
_BOMB_RATIO = 1000


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The opened file.

    Raises:
        DataError: absent, not HDF5, or broken; also for faults that show only while it is being read.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, MemoryError) as error:
        raise DataError(f"{path}: cannot be read as HDF5 ({error}); the file is broken, fetch it again") from None


def child(node: Any, path: str) -> Any | None:
    """The group or dataset at `path` below `node`, or None where there is none.

    Raises:
        DataError: a link on the way leads elsewhere.
    """
    import h5py

    for part in path.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{node.file.filename}: '{part}' is a link to elsewhere; refused, copy the data in here")
        node = node[part]
    return node


def read_array(node: Any, path: str) -> np.ndarray | None:
    """The numbers stored at `path` below `node`, or None where there is no such dataset.

    Raises:
        DataError: stored outside the file, not numbers, or declared far larger than what is stored.
    """
    import h5py

    found = child(node, path)
    if not isinstance(found, h5py.Dataset):
        return None
    return np.asarray(stored_numbers(found)[()])


def stored_numbers(dataset: Any) -> Any:
    """`dataset` itself, once it is known to hold numbers, here, and about as many as it declares.

    Raises:
        DataError: stored outside the file, not numbers, or declared far larger than what is stored.
    """
    where = f"{dataset.file.filename}: {dataset.name}"
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{where} is stored in another file; refused, copy the data into this file")
    if dataset.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {dataset.dtype}, not numbers; images, text and objects cannot be read")
    if dataset.nbytes > _BOMB_BYTES and dataset.nbytes > _BOMB_RATIO * max(dataset.id.get_storage_size(), 1):
        raise DataError(f"{where} declares {dataset.nbytes:,} bytes but stores almost none; the file is broken")
    return dataset
