"""Imports on a full disk, imports that were killed, and two at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from orl.data.importing.storage import ForgivingFile, new_hdf5
from orl.data.publish import IMPORTING, RECORDING, REPLACED, work_folder
from orl.errors import BusyError
from orl.locking import locked

LIMITED = """
import resource, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
from orl_cli.main import main
main()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "minari"
    folder.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


@pytest.mark.parametrize("kilobytes", [1, 60, 140])
def test_an_import_on_a_full_disk_is_one_line_and_leaves_nothing(place: Path, tmp_path: Path, kilobytes: int) -> None:
    """Real limits on the size of a file: met by the table (1 KB), or by HDF5, which would end the process."""
    log = tmp_path / "log.csv"
    with log.open("w") as file:
        file.write("run,s,u,r\n")
        file.writelines(f"{episode},{step / 7},0.5,1\n" for episode in range(60) for step in range(40))
    words = ["data", "import", str(log), "--id", "a/b-v0", "--obs", "s", "--action", "u", "--reward", "r"]
    command = [sys.executable, "-c", LIMITED, str(kilobytes * 1024), *words, "--episode", "run", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "orl: cannot write what the import needs on disk (File too large); MINARI_DATASETS_PATH names another place\n"
    )
    assert os.listdir(place) == []


def test_a_file_that_forgives_is_otherwise_an_ordinary_one(tmp_path: Path) -> None:
    values = np.arange(100_000, dtype=np.float32)
    with new_hdf5(tmp_path / "new.hdf5") as (file, refuse_if_full):
        file["x"] = values
        refuse_if_full()
    with h5py.File(tmp_path / "new.hdf5") as file:
        np.testing.assert_array_equal(file["x"][()], values)


def test_the_first_error_is_kept_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    """On a device that is always full; to HDF5 every write looks as if it were done."""
    with ForgivingFile("/dev/full", "w") as full:
        assert full.write(b"abc") == 3
        first = full.error
        assert first is not None
        assert first.errno == errno.ENOSPC
        assert full.write(np.zeros(4)) == 32
        assert full.error is first
    with ForgivingFile(tmp_path / "x", "w+") as file:
        file.error = first
        file.write(b"abc")
    assert (tmp_path / "x").read_bytes() == b""


def test_what_a_killed_import_left_goes_with_the_next_one_of_any_dataset(place: Path) -> None:
    for name in (f"{IMPORTING}plant.pump-v0", f"{RECORDING}abc"):
        (place / name / "half").mkdir(parents=True)
        (place / name / "rows-000000.parquet").write_text("half")
        (place / name / ".lock").write_text("process 1 on another\n")
    with work_folder(IMPORTING, "a/b-v0") as work:
        (work / "x").write_text("")
        assert os.listdir(place) == [f"{IMPORTING}a.b-v0"]
    assert os.listdir(place) == []


def test_one_that_is_under_way_is_left_alone_and_its_dataset_is_refused(place: Path) -> None:
    under_way = place / f"{IMPORTING}plant.pump-v0"
    with locked(under_way):
        (under_way / "rows-000000.parquet").write_text("half")
        with work_folder(IMPORTING, "a/b-v0"), work_folder(RECORDING):
            assert sorted(os.listdir(under_way)) == [".lock", "rows-000000.parquet"]
        message = f"^plant/pump-v0 is in use by process {os.getpid()} on "
        with pytest.raises(BusyError, match=message), work_folder(IMPORTING, "plant/pump-v0"):
            pass
        assert sorted(os.listdir(under_way)) == [".lock", "rows-000000.parquet"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_dataset_that_was_about_to_be_replaced_comes_back_unless_it_was(place: Path, replaced: bool) -> None:
    """Killed between the two renames of --force, the old one is in the work folder."""
    old = place / f"{IMPORTING}plant.pump-v0" / REPLACED / "plant" / "pump-v0" / "data"
    old.mkdir(parents=True)
    (old / "metadata.json").write_text("old")
    new = place / "plant" / "pump-v0" / "data"
    (new if replaced else place / "plant").mkdir(parents=True)
    if replaced:
        (new / "metadata.json").write_text("new")
    with work_folder(RECORDING):
        pass
    assert (new / "metadata.json").read_text() == ("new" if replaced else "old")
    assert os.listdir(place) == ["plant"]
