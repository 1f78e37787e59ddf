"""An HDF5 file on a disk that may be full: HDF5 ends the process where it cannot write, so it is not told."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ForgivingFile(io.FileIO):
    """A file whose writes never fail; the first error is kept in `error`, and nothing is written from there on."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or keep the error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while len(left) and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Give the file this length, or keep the error."""
        length = self.tell() if size is None else size
        if self.error is None:
            try:
                super().truncate(length)
            except OSError as error:
                self.error = error
        return length


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A new HDF5 file to fill, and what to call now and then: it raises the OSError of a disk that is full.

    Raises:
        OSError: as that, at the end of the block too.
    """
    import h5py

    with ForgivingFile(path, "w+") as raw:

        def refuse_if_full() -> None:
            if raw.error is not None:
                raise raw.error

        with h5py.File(raw, "w", driver="fileobj") as file:
            yield file, refuse_if_full
        refuse_if_full()
