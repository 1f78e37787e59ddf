"""Reading arrays from .npz files that came from elsewhere: never a pickle, and never more than the file holds."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from orl.data.readers.limits import refuse_bomb
from orl.documents import brief
from orl.errors import DataError

_SUFFIX = ".npy"
_PIECE_BYTES = 2**18
_PICKLES = "holds pickled objects, which can run code; refused, store plain numbers"
_PICKLE_START = b"\x80"  # of every protocol since the second
# All that numpy and zipfile raise over broken headers, and over broken contents.
_BROKEN = (
    OSError, ValueError, TypeError, EOFError, KeyError, IndexError, OverflowError, MemoryError, RecursionError,
    RuntimeError, SyntaxError, tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
_BROKEN_ROWS = (OSError, ValueError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Npy:
    """An array of an archive, its header read and its numbers not yet.

    Attributes:
        where: file and name, for messages. shape, dtype: as declared. by_columns: stored column by column.
        holds_objects: pickled ones, whose bytes are never looked at.
    """

    where: str
    shape: tuple[int, ...]
    dtype: Any
    by_columns: bool
    stream: IO[bytes]

    @property
    def holds_objects(self) -> bool:
        """Whether it is no array of plain values."""
        return bool(self.dtype.hasobject)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, count: int) -> np.ndarray:
        """The next `count` rows [count, ...]; of an array that is stored column by column, all of them only.

        Raises:
            DataError: pickled objects. ValueError: the file ends before.
        """
        if self.holds_objects:
            raise DataError(f"{self.where} {_PICKLES}")
        return self._next((count, *self.shape[1:]))

    def whole(self) -> np.ndarray:
        """All of it, any shape; errors as in `rows`."""
        return self.rows(self.shape[0]) if self.shape else self._next(())

    def _next(self, shape: tuple[int, ...]) -> np.ndarray:
        array = np.empty(shape, self.dtype, order="F" if self.by_columns else "C")
        room = array.reshape(-1, order="A").view(np.uint8)
        for first in range(0, len(room), _PIECE_BYTES):  # small enough to stay in the processor's cache meanwhile
            piece = room[first : first + _PIECE_BYTES]
            if self.stream.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                raise ValueError("an array ends before its last row")
        return array


@contextmanager
def open_npz(path: Path, file: Path | None = None) -> Iterator[dict[str, Npy]]:
    """The arrays in an archive by name; `path` names it in messages, where it differs from the `file` read.

    Names are keys, never paths: nothing is unpacked onto disk.

    Raises:
        DataError: no archive, broken, a pickle, or arrays that declare more than is stored; also for faults that show
            only while it is being read.
    """
    with ExitStack() as stack:
        try:
            arrays = _opened(path, file or path, stack)
        except _BROKEN as error:
            raise _broken(path, error) from None
        try:
            yield arrays
        except _BROKEN_ROWS as error:
            raise _broken(path, error) from None


def _opened(path: Path, file: Path, stack: ExitStack) -> dict[str, Npy]:
    fault = _foreign(file)
    if fault:
        raise DataError(f"{path}: {fault}")
    archive = stack.enter_context(zipfile.ZipFile(file))
    arrays = {}
    for info in archive.infolist():
        if info.filename.endswith(_SUFFIX):
            name = info.filename.removesuffix(_SUFFIX)
            arrays[name] = _npy(f"{path}: '{name}'", info, stack.enter_context(archive.open(info)))
    return arrays


def _npy(where: str, info: zipfile.ZipInfo, stream: IO[bytes]) -> Npy:
    array = Npy(where, *_header(stream), stream)
    if any(size < 0 for size in array.shape):
        raise ValueError(f"{where} has the shape {array.shape}")
    if not array.holds_objects:
        stored = info.file_size - stream.tell()
        if array.nbytes != stored:
            raise DataError(f"{where} declares {array.nbytes:,} bytes but stores {stored:,}; the file is broken")
        refuse_bomb(where, array.nbytes, info.compress_size)
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], Any, bool]:
    """Shape, type and order of an array from the start of its .npy."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    return shape, dtype, by_columns


def _foreign(file: Path) -> str | None:
    """What the file is where it begins as a pickle or a single array does, rather than as an archive."""
    with open(file, "rb") as stream:
        start = stream.read(len(np.lib.format.MAGIC_PREFIX))
        if start[:1] == _PICKLE_START:
            return _PICKLES
        if start != np.lib.format.MAGIC_PREFIX:
            return None
        stream.seek(0)
        return _PICKLES if _header(stream)[1].hasobject else "holds one bare array; an .npz of named ones is needed"


def _broken(path: Path, error: Exception) -> DataError:
    reason = brief(str(error)) or type(error).__name__
    return DataError(f"{path}: cannot be read as an .npz of plain arrays ({reason})")
