"""Files that survive a crash: the old one or the new one, never a half, and one line where the disk is full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl import files
from orl.errors import UnwritableError


def refusing(number: int) -> Callable[..., Any]:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "make it writable"), (errno.EDQUOT, "free")]
)
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(
    call: str, number: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    files.write_text(file, "old")
    monkeypatch.setattr(files.os, call, refusing(number))
    with pytest.raises(UnwritableError) as caught:
        files.write_text(file, "new")
    assert str(caught.value).startswith(f"cannot write {file}: {os.strerror(number)}; ")
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert (file.read_text(), os.listdir(tmp_path)) == ("old", ["a.json"])


def test_content_is_on_disk_before_its_name_and_the_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def watched_replace(source: Any, target: Any) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", watched_fsync)
    monkeypatch.setattr(files.os, "replace", watched_replace)
    files.write_text(tmp_path / "a", "x")
    assert calls == ["file", "replace", "folder"]
    assert oct((tmp_path / "a").stat().st_mode & 0o777) == oct(0o666 & ~files._umask())


FULL = """
import resource, sys
from pathlib import Path
from orl.errors import UnwritableError
from orl.files import append_text
file = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # the system refuses the 101st byte
written = 0
try:
    while True:
        append_text(file, "x" * 29 + "\\n")
        written += 1
except UnwritableError as error:
    print(written, error)
"""


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back_whole(tmp_path: Path) -> None:
    """A real limit on the size of a file: the fourth line of 30 bytes would be cut after 10."""
    file = tmp_path / "metrics.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, file], capture_output=True, text=True)
    assert done.stdout.startswith(f"3 cannot write {file}: File too large; what was saved before is kept"), done.stderr
    assert file.read_text() == ("x" * 29 + "\n") * 3


def test_a_sweep_takes_what_is_unfinished_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f"{files.TEMPORARY}abc").write_text("half")
    (tmp_path / f"{files.TEMPORARY}7").mkdir()
    (tmp_path / f"{files.TEMPORARY}7" / "x").write_text("")
    (tmp_path / "mine.tmp").write_text("kept")
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["mine.tmp"]


def test_a_folder_goes_out_of_sight_before_it_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off while it empties, what is left has a name that a sweep takes."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "x").write_text("")
    monkeypatch.setattr(files.shutil, "rmtree", lambda *arguments, **options: None)
    files.remove_folder(tmp_path / "5")
    (left,) = os.listdir(tmp_path)
    assert left.startswith(files.TEMPORARY)
    assert os.listdir(tmp_path / left) == ["x"]
