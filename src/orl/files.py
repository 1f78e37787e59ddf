"""Files that survive a crash: written whole under another name, put on disk, then renamed.

A reader sees the old file or the new one, whether the process is killed or the power fails in between.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orl.errors import UnwritableError

TEMPORARY = ".orl-writing-"  # what the names of unfinished files and folders begin with
# What a full disk, a quota or a limit on the size of files answer; the rest is a matter of permission.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically and durably.

    Raises:
        UnwritableError: the disk is full or the folder cannot be written to; `path` is as it was before.
    """
    with saving(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())  # a temporary file is the owner's alone; what is written is not
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        sync_folder(path.parent)


def append_text(path: Path, text: str) -> None:
    """Add `text` to the end of `path`; on a full disk nothing of it is left behind.

    Raises:
        UnwritableError: as `write_text`.
    """
    with saving(path):
        length = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            with suppress(OSError):
                os.truncate(path, length)
            raise


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns the errors of a full disk or an unwritable folder into an UnwritableError that names `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> UnwritableError:
    """`error`, met while writing `path`, as one line that says what to do about it."""
    remedy = "make it writable, or choose another place"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        remedy = "a file is in the way; choose another with --out"
    elif error.errno in FULL:
        remedy = "what was saved before is kept; free some space, then the same command goes on"
    return UnwritableError(f"cannot write {path}: {error.strerror or error}; {remedy}")


def storage_error(text: str) -> OSError | None:
    """The error of a full disk or an unwritable folder that a library's message passes on, None where it is another."""
    found = (number for number in (*FULL, errno.EROFS, errno.EACCES) if os.strerror(number) in text)
    number = next(found, None)
    return None if number is None else OSError(number, os.strerror(number))


def sync_file(path: Path) -> None:
    """Have the system put what was written to `path` on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the system put the names in the folder on disk. Some network file systems cannot; they do it themselves."""
    with suppress(OSError):
        sync_file(path)


def sync_tree(folder: Path) -> None:
    """Put every file below `folder`, and every name, on disk."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(place) / name)
        sync_folder(Path(place))


def publish_folder(built: Path, target: Path) -> None:
    """Put the folder `built` on disk, then let it appear as `target`, whole or not at all."""
    sync_tree(built)
    os.rename(built, target)
    sync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder that is never to be seen half removed: it is renamed out of sight first."""
    hidden = path.with_name(f"{TEMPORARY}{path.name}-removed")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left unfinished in `folder`; only for whoever has it to himself."""
    for left in folder.glob(f"{TEMPORARY}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
