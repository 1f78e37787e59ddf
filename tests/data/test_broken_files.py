"""The smallest files with which `make fuzz` found a fault in a reader; each is refused now, in one line."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from made_logs import minari_episode, write_minari
from made_tables import import_table, make_table, mapping_for

from orl.data.audit.audit import audit
from orl.data.catalog import load
from orl.data.importing.columns import natural
from orl.data.importing.run import import_dataset
from orl.data.importing.trial import survives_reading
from orl.data.readers.d4rl import read_d4rl
from orl.data.readers.hdf5 import open_hdf5
from orl.data.readers.minari import read_minari
from orl.data.readers.neorl import read_neorl
from orl.errors import DataError, UsageError

D4RL = {"observations": (2, 1), "actions": (2, 1), "rewards": (2,), "terminals": (2,), "next_observations": (2, 1)}
NEORL = {"obs": (4, 1), "action": (4, 1), "next_obs": (4, 1), "reward": (4,), "done": (4,), "truncated": (4,)}


def npy(array: np.ndarray) -> bytes:
    """The bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("error", [TypeError, ValueError, OverflowError, KeyError, OSError])
def test_whatever_h5py_raises_names_the_file(error: type[Exception], tmp_path: Path) -> None:
    h5py.File(tmp_path / "log.h5", "w").close()
    with (
        pytest.raises(DataError, match=r"log\.h5: cannot be read as HDF5 \('?a reason'?\)"),
        open_hdf5(tmp_path / "log.h5"),
    ):
        raise error("a reason")


@pytest.mark.parametrize("kind", ["a group", "a type"])
def test_what_is_called_like_an_array_and_is_none_is_refused(kind: str, tmp_path: Path) -> None:
    """Time-outs that are a group are not time-outs that are absent."""
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        for key, shape in D4RL.items():
            file[key] = np.zeros(shape)
        file["timeouts"] = np.dtype("f8") if kind == "a type" else h5py.SoftLink("x")
        if kind == "a group":
            del file["timeouts"]
            file.create_group("timeouts")
    with pytest.raises(DataError, match=r"log\.hdf5: /: no array 'timeouts' but a group or a type"):
        read_d4rl(tmp_path / "log.hdf5")


def test_actions_without_columns_are_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "log.npz", **{key: np.zeros(shape) for key, shape in NEORL.items()} | {"action": np.zeros((4, 0))}
    )
    with pytest.raises(DataError, match=r"'action' has shape \(4, 0\), no columns"):
        read_neorl(tmp_path / "log.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_npz_array_is_held_against_its_checksum(method: int, tmp_path: Path) -> None:
    """It is compared only once all of the array was read."""
    arrays = {key: np.zeros(shape, np.float32) for key, shape in NEORL.items()}
    with zipfile.ZipFile(tmp_path / "log.npz", "w", method) as archive:
        for key, array in arrays.items():
            archive.writestr(f"{key}.npy", npy(array))
        info = archive.getinfo("reward.npy")
    content = bytearray((tmp_path / "log.npz").read_bytes())
    assert read_neorl(tmp_path / "log.npz").reward.tolist() == [0, 0, 0, 0]
    directory = content.rindex(b"reward.npy") - 46 + 16  # of the checksum in the archive's directory
    assert int.from_bytes(content[directory : directory + 4], "little") == info.CRC
    for place in (directory, info.header_offset + 14):
        content[place] ^= 1
    (tmp_path / "log.npz").write_bytes(content)
    with pytest.raises(
        DataError, match=r"cannot be read as an \.npz of plain arrays \(Bad CRC-32 for file 'reward\.npy'\)"
    ):
        read_neorl(tmp_path / "log.npz")


def test_an_npz_array_that_declares_less_than_it_stores_is_refused(tmp_path: Path) -> None:
    short = npy(np.zeros(4)).replace(b"(4,), }", b"(3,), }")
    with zipfile.ZipFile(tmp_path / "log.npz", "w") as archive:
        for key, shape in NEORL.items():
            archive.writestr(f"{key}.npy", short if key == "reward" else npy(np.zeros(shape)))
    with pytest.raises(DataError, match="'reward' declares 24 bytes but stores 32"):
        read_neorl(tmp_path / "log.npz")


def test_a_header_of_thousands_of_digits_is_not_shown_whole(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",), }"
    with zipfile.ZipFile(tmp_path / "log.npz", "w") as archive:
        archive.writestr("obs.npy", b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header)
    with pytest.raises(DataError, match=r"log\.npz: cannot be read") as refusal:
        read_neorl(tmp_path / "log.npz")
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terminations": np.array([np.nan, 0])}, "'terminations' must be 0 or 1, but row 0 is nan"),
        ({"truncations": np.array([0, 2])}, "'truncations' must be 0 or 1, but row 1 is 2"),
        ({"terminations": np.zeros((2, 2))}, r"'terminations' has shape \(2, 2\), expected one value a step"),
        ({"rewards": np.zeros((2, 0))}, r"'rewards' has shape \(2, 0\), expected one value a step"),
    ],
)
def test_flags_of_a_minari_dataset_are_flags(changes: dict[str, Any], message: str, minari_root: Path) -> None:
    """NaN is true to NumPy: an episode would end at once."""
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2, **changes)])
    with pytest.raises(DataError, match=f"toy/arrow-v0 episode_0: {message}"):
        read_minari("toy/arrow-v0")


def test_flags_in_a_column_are_read(minari_root: Path) -> None:
    """Of one step an array [1, 1] was let through as it is, and did not fit the others."""
    changes = {"terminations": np.ones((1, 1)), "rewards": np.full((1, 1), 5.0)}
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(1, **changes), minari_episode(2)])
    data = load("toy/arrow-v0")
    assert data.terminated.tolist() == [True, False, False]
    assert data.reward.tolist() == [5, 0, 1]


@pytest.mark.parametrize("key", ["total_episodes", "data_format"])
def test_what_metadata_say_of_themselves_is_shown_in_a_line(key: str, minari_root: Path) -> None:
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], **{key: "\x1b[2J\nx" + "y" * 5000})
    with pytest.raises(DataError, match="toy/arrow-v0: ") as refusal:
        read_minari("toy/arrow-v0")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


def test_an_action_that_is_infinite_is_found_and_its_excess_is_no_number(minari_root: Path) -> None:
    """`orl data check --json` writes null for it (tests/cli/test_told_errors.py)."""
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2, actions=np.array([[0.0], [np.inf]]))])
    found = [each for each in audit(load("toy/arrow-v0", checked=False)).findings if each.check == "bounds"]
    assert [each.value for each in found] == [np.inf]


# 525 bytes, one bit of which is not as it was: the table library asks for 2 EiB, gets none, and ends the process
ENDS, BIT = 12, 1


def damaged(path: Path) -> Path:
    """Two numbers as a Parquet file, one bit of it flipped."""
    pl.DataFrame({"x": [1.0, 2.0]}).write_parquet(path, compression="uncompressed")
    content = bytearray(path.read_bytes())
    content[ENDS] ^= BIT
    path.write_bytes(content)
    return path


def test_a_parquet_file_that_ends_whoever_reads_it_is_refused(tmp_path: Path) -> None:
    file = damaged(tmp_path / "log.parquet")
    assert not survives_reading(file)
    with pytest.raises(DataError, match=r"log\.parquet: cannot be read as Parquet .*the file is broken"):
        import_dataset(mapping_for(file))
    code = f"import polars; polars.read_parquet({str(file)!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode != 0


def test_sound_and_refused_parquet_files_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_table().write_parquet(tmp_path / "log.parquet")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "polars.py").write_text("raise SystemExit(7)")  # where the reader stands, but not what it imports
    assert survives_reading(tmp_path / "log.parquet")
    assert survives_reading(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"empty\.parquet: cannot be read as Parquet"):
        import_dataset(mapping_for(tmp_path / "empty.parquet"))


def test_a_name_of_thousands_of_digits_is_in_order() -> None:
    long = "9" * 5000
    assert sorted([f"s_{long}", "s_10", "s_09", "s_1"], key=natural) == ["s_1", "s_09", "s_10", f"s_{long}"]


def test_blank_names_of_columns_and_files_too_long_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"log\.csv: --action is blank; the columns are ep, t, s_10"):
        import_table(make_table(), tmp_path / "log.csv", action=[""])
    with pytest.raises(DataError, match=r"no file é+.*check the path"):
        import_dataset(mapping_for(Path("é" * 3000 + ".csv")))


def test_faults_of_columns_name_the_file(minari_root: Path, tmp_path: Path) -> None:
    table = make_table().with_columns(pl.struct("cut", pl.col("cut").alias("other")).alias("cut"))
    with pytest.raises(Exception, match=r"log\.parquet: --truncated 'cut' fits 2 columns"):
        import_table(table, tmp_path / "log.parquet")
    with pytest.raises(Exception, match=r"log\.csv: --next-obs fits 1 columns, --obs 2"):
        import_table(make_table().drop("n_2"), tmp_path / "log.csv")
