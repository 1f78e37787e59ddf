"""NPZ files made to run code, to write elsewhere, or to fill the memory: each refused."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tables import import_table, make_table, mapping_for

from orl.data.importing.run import import_dataset
from orl.data.readers import limits
from orl.data.readers.neorl import read_neorl
from orl.data.readers.npz import open_npz
from orl.errors import DataError, UsageError

COLUMNS = {"obs": (4, 1), "action": (4, 1), "next_obs": (4, 1), "reward": (4,), "done": (4,), "truncated": (4,)}
WANTED = {"obs": ["obs"], "action": ["action"], "reward": "reward", "terminated": "done", "truncated": "truncated"}
WANTED |= {"next_obs": None, "episode": None, "order": None}
PLAIN = {name: np.zeros(shape) for name, shape in COLUMNS.items()}


class Payload:
    """What makes its marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.marker,))


def npy(array: np.ndarray) -> bytes:
    """The bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(path: Path, **members: bytes) -> Path:
    """An archive of these .npy files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def attack(kind: str, path: Path, marker: Path) -> Path:
    """A file called .npz that runs code where it is unpickled."""
    payload = np.array([Payload(marker)], dtype=object)
    if kind == "archive":
        return npz(path, **{name: npy(array) for name, array in PLAIN.items()} | {"action": npy(payload)})
    path.write_bytes({"npy": npy(payload), "pickle": pickle.dumps(Payload(marker))}[kind])
    return path


@pytest.mark.parametrize("kind", ["archive", "npy", "pickle"])
@pytest.mark.parametrize("read", [read_neorl, lambda path: import_dataset(mapping_for(path, **WANTED))])
def test_pickles_are_refused_and_never_run(kind: str, read: Callable[[Path], Any], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = attack(kind, tmp_path / "log.npz", marker)
    if kind == "archive" and read is not read_neorl:  # what an import does not need is left out, and said
        with (
            pytest.warns(UserWarning, match="left out action: pickled objects, which are never loaded"),
            pytest.raises(UsageError, match="--action 'action' fits no column"),
        ):
            read(path)
    else:
        with pytest.raises(DataError, match=r"log.npz: .*holds pickled objects, which can run code; refused"):
            read(path)
    assert not marker.exists()
    if kind == "archive":  # the payload is live
        np.load(path, allow_pickle=True)["action"]
        assert marker.exists()


def test_names_in_an_archive_are_names_and_nothing_is_unpacked(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    members = {name: npy(table[name].to_numpy()) for name in table.columns}
    members["../../escaped"] = members.pop("r")
    members["/absolute"] = members["done"]
    before = sorted(tmp_path.parent.rglob("*escaped*"))
    found = import_dataset(mapping_for(npz(tmp_path / "log.npz", **members), reward="../../escaped"))
    assert found["columns"]["reward"] == ["../../escaped"]
    assert sorted(tmp_path.parent.rglob("*escaped*")) == before == []


def test_an_array_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """Three numbers under a header that promises 8 TB."""
    content = npy(np.zeros(3))
    huge = content.replace(b"(3,), }" + b" " * 13, b"(1000000000000,), }" + b" ")
    assert huge != content
    path = npz(tmp_path / "log.npz", **{name: npy(array) for name, array in PLAIN.items()} | {"reward": huge})
    with pytest.raises(DataError, match=r"'reward' declares 8,000,000,000,000 bytes but stores 152"):
        read_neorl(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflate makes a thousandth of zeros; with 100 kB in place of 256 MiB the archive stays small."""
    monkeypatch.setattr(limits, "BOMB_BYTES", 10**5)
    path = npz(tmp_path / "log.npz", x=npy(np.zeros(10**6)))
    declared = r"'x' declares 8,000,000 bytes but stores 7,\d\d\d; the file is broken"
    with pytest.raises(DataError, match=declared), open_npz(path):
        pass


def test_arrays_that_together_exceed_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "log.npz", **{name: npy(array) for name, array in PLAIN.items()})
    monkeypatch.setattr(limits, "free_memory", lambda: 100)
    with pytest.raises(DataError, match=r"'reward' brings what is to be read to 128 bytes.*has 100 free"):
        read_neorl(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8',", "cannot be read as an .npz"),
        (npy(np.zeros(2)).replace(b"(2,)", b"(-2,)"[:4]), "cannot be read as an .npz"),
        (npy(np.zeros(2)).replace(b"'<f8'", b"'wat'"), "cannot be read as an .npz"),
        (npy(np.zeros(9))[:-8], "an array ends before its last row|declares"),
    ],
)
def test_broken_members_are_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "log.npz", **{name: npy(array) for name, array in PLAIN.items()} | {"reward": content})
    with pytest.raises(DataError, match=message):
        read_neorl(path)


@pytest.mark.parametrize("pack", [gzip, bz2])
def test_a_compressed_bomb_stops_while_it_is_unpacked(
    pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BOMB_BYTES", 10**6)
    monkeypatch.setattr(limits, "BOMB_RATIO", 100)
    path = tmp_path / f"log.csv.{'gz' if pack is gzip else 'bz2'}"
    path.write_bytes(pack.compress(b"s_2,s_10\n" + b"0,0\n" * 10**6))
    with pytest.raises(DataError, match=r"unpacked, declares .* bytes but stores .*; the file is broken"):
        import_dataset(mapping_for(path))


def test_a_file_name_is_no_pattern(minari_root: Path, tmp_path: Path) -> None:
    """`log*.csv`, which came with the data, is that file alone, and not every file that begins so."""
    table = make_table()
    (tmp_path / "log-private.csv").write_text(table.with_columns(r=1e6).write_csv())
    found = import_table(table, tmp_path / "log*.csv")
    assert found["rows"] == 12
    assert import_table(table, tmp_path / "log*.parquet", id="made/other-v0")["rows"] == 12
    with pytest.raises(DataError, match="may hold none of"):
        import_table(table, tmp_path / "log*.jsonl", id="made/third-v0")
