"""One process a folder: the second is told of the first, and a dead one holds nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl import locking
from orl.errors import BusyError, UnwritableError
from orl.locking import locked

HOLD = """
import sys, time
from pathlib import Path
from orl.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_process_is_told_of_the_first_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as caught, locked(folder):
            pass
        assert str(caught.value) == (
            f"{folder} is in use by process {holder.pid} on {socket.gethostname()};"
            " wait until that is done, or work in another folder"
        )
        assert caught.value.exit_code == 2
    finally:
        holder.kill()
        holder.communicate()
    assert os.listdir(folder) == [".lock"]  # the file outlives its holder, the lock does not
    with locked(folder):
        assert (folder / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_a_lock_leaves_no_file_and_no_empty_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        assert os.listdir(tmp_path / "a" / "b") == [".lock"]
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").write_text("")
    assert os.listdir(tmp_path / "a" / "b") == ["x"]


def test_the_same_process_cannot_have_a_folder_twice_but_two_parts_of_one(tmp_path: Path) -> None:
    with locked(tmp_path, ".0.lock"):
        message = f"seed 0 is in use by process {os.getpid()}"
        with pytest.raises(BusyError, match=message), locked(tmp_path, ".0.lock", what="seed 0"):
            pass
        with locked(tmp_path, ".1.lock"):
            assert sorted(os.listdir(tmp_path)) == [".0.lock", ".1.lock"]


def test_a_lock_file_that_was_removed_meanwhile_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder removed it between the opening and the locking: locking that file would lock nobody out."""
    flock, calls = locking.fcntl.flock, []

    def meanwhile(descriptor: int, operation: int) -> None:
        if not calls:
            (tmp_path / ".lock").unlink()
        calls.append(operation)
        flock(descriptor, operation)

    monkeypatch.setattr(locking.fcntl, "flock", meanwhile)
    with locked(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("moment", ["mkdir", "flock", "ftruncate"])
def test_an_interruption_on_the_way_to_the_lock_leaves_nothing(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal comes whenever it comes."""

    def after(call: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*arguments: Any, **options: Any) -> Any:
            call(*arguments, **options)
            monkeypatch.undo()
            raise KeyboardInterrupt

        return interrupted

    owner = {"mkdir": Path, "flock": locking.fcntl, "ftruncate": locking.os}[moment]
    monkeypatch.setattr(owner, moment, after(getattr(owner, moment)))
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locking.fcntl, "flock", unsupported)
    with pytest.warns(UserWarning, match="knows no locks .* do not start a second run"), locked(tmp_path):
        entered = True
    assert entered


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(locking.os, "open", refuse)
    message = f"cannot write {tmp_path}: Read-only file system; make it writable"
    with pytest.raises(UnwritableError, match=message), locked(tmp_path):
        pass
