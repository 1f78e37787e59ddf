"""NPZ and HDF5 files as tables: [N] arrays are columns, [N, D] arrays the columns `name.0` .. `name.D-1`.

Their chosen arrays are copied piece by piece into Parquet files, which the table library can stream.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from orl.data.importing.leaves import Leaf
from orl.data.readers.hdf5 import open_hdf5, walk
from orl.data.readers.limits import Room
from orl.data.readers.npz import Npy, open_npz
from orl.errors import DataError

_PIECE_BYTES = 2**25
_TYPES = {"b": pl.Boolean(), "i": pl.Int64(), "u": pl.UInt64(), "f": pl.Float64(), "U": pl.String()}


class Arrays(NamedTuple):
    """Columns of an array file, and the function that makes a table of those wanted."""

    leaves: dict[str, Leaf]
    scan: Callable[[list[str]], pl.LazyFrame]


class Member(NamedTuple):
    """One array of a file; `read(rows)` gives its next `rows` rows."""

    shape: tuple[int, ...]
    kind: str
    read: Callable[[int], np.ndarray]


def open_arrays(path: Path, file: Path, kind: str, work: Path) -> Arrays:
    """The arrays of an NPZ or HDF5 `file`; `path` names it in messages.

    Raises:
        DataError: unreadable, or without a flat array of numbers.
    """
    opener = _npz_members if kind == "NPZ" else _hdf5_members
    with opener(path, file) as members:
        arrays = {name: member for name, member in members.items() if member.kind in _TYPES}
        shapes = {name: member.shape for name, member in arrays.items() if len(member.shape) in (1, 2)}
        kinds = {name: arrays[name].kind for name in shapes}
        pickled = [name for name, member in members.items() if member.kind == "O"]
    if pickled:
        warnings.warn(f"{path}: left out {', '.join(pickled)}: pickled objects, which are never loaded", stacklevel=4)
    if not shapes:
        raise DataError(f"{path}: has no array of one row a step ([N] or [N, D] numbers)")
    leaves = {leaf: Leaf(pl.col(leaf), _TYPES[kinds[name]]) for name in shapes for leaf in _names(name, shapes[name])}
    made: dict[tuple[str, ...], pl.LazyFrame] = {}

    def scan(wanted: list[str]) -> pl.LazyFrame:
        chosen = tuple(name for name in shapes if set(_names(name, shapes[name])) & set(wanted))
        known = next((table for names, table in made.items() if set(chosen) <= set(names)), None)
        if known is None:
            known = made[chosen] = _copy(path, file, opener, {name: shapes[name] for name in chosen}, work)
        return known

    return Arrays(leaves, scan)


def _names(name: str, shape: tuple[int, ...]) -> list[str]:
    return [name] if len(shape) == 1 else [f"{name}.{index}" for index in range(shape[1])]


def _copy(path: Path, file: Path, opener: Any, shapes: dict[str, tuple[int, ...]], work: Path) -> pl.LazyFrame:
    """The arrays named in `shapes` as a table on disk."""
    lengths = {name: shape[0] for name, shape in shapes.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: arrays of unlike lengths {lengths}; every column needs one row a step")
    rows = next(iter(lengths.values()))
    folder = Path(tempfile.mkdtemp(dir=work))
    size = max(_PIECE_BYTES // (8 * sum(len(_names(*item)) for item in shapes.items())), 1)
    with opener(path, file) as members:
        for first in range(0, max(rows, 1), size):
            count = min(size, rows - first)
            columns: dict[str, Any] = {}
            for name, shape in shapes.items():
                piece = _plain(members[name].read(count))
                columns |= dict(zip(_names(name, shape), [piece] if piece.ndim == 1 else piece.T, strict=True))
            pl.DataFrame(columns).write_parquet(folder / f"{first:015d}.parquet")
    return pl.scan_parquet(folder / "*.parquet", row_index_name="@row", row_index_offset=1)


def _plain(array: np.ndarray) -> np.ndarray:
    """In this machine's byte order and of a type that the table library knows."""
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


@contextmanager
def _npz_members(path: Path, file: Path) -> Iterator[dict[str, Member]]:
    with open_npz(path, file) as arrays:
        yield {name: _npy(array) for name, array in arrays.items()}


def _npy(array: Npy) -> Member:
    """An array of an .npz, read from its start onwards."""
    whole: list[np.ndarray] = []  # an array stored column by column cannot be read by rows

    def read(rows: int) -> np.ndarray:
        if not array.by_columns or len(array.shape) == 1:
            return array.rows(rows)
        if not whole:
            Room().take(array.where, array.nbytes)
            whole.append(array.whole())
        piece, whole[0] = whole[0][:rows], whole[0][rows:]
        return piece

    return Member(array.shape, "O" if array.holds_objects else array.dtype.kind, read)


@contextmanager
def _hdf5_members(path: Path, file: Path) -> Iterator[dict[str, Member]]:
    with open_hdf5(file) as opened:
        yield {name: _stored(dataset) for name, dataset in walk(opened)}


def _stored(dataset: Any) -> Member:
    position = 0

    def read(rows: int) -> np.ndarray:
        nonlocal position
        position += rows
        return np.asarray(dataset[position - rows : position])

    return Member(dataset.shape, dataset.dtype.kind, read)
