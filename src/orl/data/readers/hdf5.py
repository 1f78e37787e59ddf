"""Reading arrays from HDF5 files that came from elsewhere.

A file may point outside itself (external links, external storage, virtual datasets), so that reading it would read
other files of the machine. Every step of a path must therefore be a hard link and every dataset stored in the file. It
may also name filters that HDF5 looks for among the machine's plug-ins, point back into itself, and declare what it
does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from orl.data.readers.limits import BOMB_BYTES, Room, refuse_bomb
from orl.documents import brief
from orl.errors import DataError

# Built into HDF5 and h5py: deflate, shuffle, fletcher32, szip, nbit, scale-offset, lzf. Others are plug-ins, i.e. code.
_FILTERS = (1, 2, 3, 4, 5, 6, 32000)
# What h5py and NumPy raise over broken files: over sizes, types, names and contents that cannot be.
_BROKEN = (OSError, RuntimeError, KeyError, MemoryError, TypeError, ValueError, OverflowError)
_DEPTH = 32  # groups inside groups


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
    except _BROKEN as error:
        reason = brief(str(error)) or type(error).__name__
        raise DataError(f"{path}: cannot be read as HDF5 ({reason}); the file is broken, fetch it again") from None


def child(node: Any, path: str) -> Any | None:
    """The group or dataset at `path` below `node`, or None where there is none.

    Raises:
        DataError: a link on the way leads elsewhere.
    """
    import h5py

    for part in path.split("/"):
        try:
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        except TypeError:  # a kind of link that a user of HDF5 has defined
            link = h5py.SoftLink(part)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{node.file.filename}: '{part}' is a link to elsewhere; refused, copy the data in here")
        node = node[part]
    return node


def walk(file: Any) -> Iterator[tuple[str, Any]]:
    """Every dataset of numbers in an open file with its path, checked by `stored_numbers`; groups in their order.

    Raises:
        DataError: a link leads elsewhere, a group is reached twice (so that paths need not end), or a dataset is
            refused.
    """
    import h5py

    seen: set[Any] = set()

    def below(group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        where = h5py.h5o.get_info(group.id)
        if (where.fileno, where.addr) in seen or depth > _DEPTH:
            reason = f"is more than {_DEPTH} groups deep" if depth > _DEPTH else "is a group that has another path too"
            raise DataError(f"{file.filename}: {prefix.rstrip('/')} {reason}; refused, copy the data into plain groups")
        seen.add((where.fileno, where.addr))
        for name in group:
            node = child(group, name)
            if isinstance(node, h5py.Group):
                yield from below(node, f"{prefix}{name}/", depth + 1)
            elif isinstance(node, h5py.Dataset) and node.dtype.kind in "biuf":
                yield prefix + name, stored_numbers(node)

    yield from below(file, "", 0)


def read_array(node: Any, path: str, room: Room) -> np.ndarray | None:
    """The numbers (any shape) stored at `path` below `node`, or None where nothing has that name.

    Raises:
        DataError: no array, as `stored_numbers`, or larger than what is left of `room`.
    """
    import h5py

    found = child(node, path)
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{_place(node)}: no array '{path}' but a group or a type; fetch or record the data again")
    dataset = stored_numbers(found)
    room.take(_place(dataset), _bytes(dataset.shape, dataset.dtype))
    return np.asarray(dataset[()])


def stored_numbers(dataset: Any) -> Any:
    """`dataset` itself, once it is known to hold numbers, here, and about as many as it declares.

    Raises:
        DataError: stored outside the file, not numbers, behind a filter that is a plug-in, or declared far larger than
            what is stored.
    """
    where = _place(dataset)
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{where} is stored in another file; refused, copy the data into this file")
    if dataset.dtype.kind not in "biuf" or dataset.shape is None:
        raise DataError(f"{where} holds {dataset.dtype}, not numbers; images, text and objects cannot be read")
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        number = properties.get_filter(index)[0]
        if number not in _FILTERS:
            raise DataError(f"{where} needs the HDF5 plug-in {number}; refused, write it anew with gzip or plain")
    refuse_bomb(where, _bytes(dataset.shape, dataset.dtype), dataset.id.get_storage_size())
    chunk = _bytes(dataset.chunks or (), dataset.dtype)
    if chunk > BOMB_BYTES:  # a chunk is unpacked whole, even for one row
        Room().take(f"{where}, in one chunk,", chunk)
    return dataset


def _place(dataset: Any) -> str:
    return f"{dataset.file.filename}: {dataset.name}"


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    """In Python's integers: h5py's own `nbytes` wraps around."""
    return math.prod(map(int, shape)) * dtype.itemsize
