"""One process at a time: a lock on a folder that dies with the process that holds it.

The lock is the kernel's (`flock`) on a file `.lock`, so a killed process leaves none behind, only the file. Over NFS
the kernel asks the server, which holds between machines too if its lock service runs; where a file system knows no
locks, a warning says so and the work goes on unguarded.
"""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orl.errors import BusyError
from orl.files import saving

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def locked(folder: Path, name: str = LOCK, what: str | None = None) -> Iterator[None]:
    """Have `folder` to oneself inside the block; it is made if need be, and removed again if it stays empty.

    Args:
        name: of the lock file, for locks on a part of a folder. what: is locked, for messages; the folder by default.

    Raises:
        BusyError: another process (or another thread) has it; names it. UnwritableError: the folder cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    descriptor = None
    try:
        with saving(folder):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = _acquire(folder / name, what or str(folder))
        yield
    finally:
        if descriptor is not None:
            _release(folder / name, descriptor)
        with suppress(OSError):  # the first one that is not empty ends it
            for each in made:
                each.rmdir()


def _acquire(file: Path, what: str) -> int:
    """An open, locked descriptor of `file`, which says who holds it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor):
                holder = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "another process"
                raise BusyError(f"{what} is in use by {holder}; wait until that is done, or work in another folder")
            if _is_there(file, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BaseException:  # an interruption too
            _release(file, descriptor)
            raise
        os.close(descriptor)  # its holder removed the file between our opening and our locking it


def _release(file: Path, descriptor: int) -> None:
    """Remove the lock file, if it is ours, and let go of it."""
    with suppress(OSError):  # the file system may have turned read-only
        if _lock(descriptor) and _is_there(file, descriptor):
            file.unlink()
    os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had; True where the system knows none."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        warnings.warn(f"this file system knows no locks ({error.strerror}); do not start a second run", stacklevel=2)
    return True


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False
