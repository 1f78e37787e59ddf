"""HDF5 files made to read other files, to run plug-ins, to have no end, or to fill the memory: each refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_logs import minari_episode, write_minari
from made_tables import mapping_for

from orl.data.importing.run import import_dataset
from orl.data.readers import limits
from orl.data.readers.d4rl import read_d4rl
from orl.data.readers.hdf5 import open_hdf5, walk
from orl.data.readers.minari import read_minari
from orl.errors import DataError

SECRET = np.array([42.0, 43.0])


def outside(kind: str, group: Any, name: str, secret: Path) -> None:
    """Put [2] numbers of the files `secret`.h5 and `secret`.bin, or of elsewhere in this file, under `name`."""
    if kind == "external link":
        group[name] = h5py.ExternalLink(f"{secret}.h5", "/secret")
    elif kind == "soft link":
        group["real"] = SECRET
        group[name] = h5py.SoftLink(f"{group.name}/real".replace("//", "/"))
    elif kind == "external storage":
        group.create_dataset(name, (2,), "f8", external=[(f"{secret}.bin", 0, 16)])
    else:
        layout = h5py.VirtualLayout((2,), "f8")
        layout[:] = h5py.VirtualSource(f"{secret}.h5", "secret", (2,))
        group.create_virtual_dataset(name, layout)


KINDS = {
    "external link": "is a link to elsewhere; refused",
    "soft link": "is a link to elsewhere; refused",
    "external storage": "is stored in another file; refused",
    "virtual": "is stored in another file; refused",
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the machine's owner, as HDF5 and as bare numbers."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = SECRET
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    return tmp_path / "secret"


def minari_door(kind: str, secret: Path, root: Path) -> Callable[[], Any]:
    """Reading a Minari dataset whose rewards lie elsewhere."""
    with h5py.File(write_minari(root, "toy/arrow-v0", [minari_episode(2)]), "a") as file:
        del file["episode_0/rewards"]
        outside(kind, file["episode_0"], "rewards", secret)
    return lambda: read_minari("toy/arrow-v0")


def d4rl_door(kind: str, secret: Path, root: Path) -> Callable[[], Any]:
    """Reading a D4RL file whose rewards lie elsewhere."""
    with h5py.File(root / "log.hdf5", "w") as file:
        file["observations"], file["actions"] = np.zeros((2, 1)), np.zeros((2, 1))
        file["terminals"], file["timeouts"] = np.zeros(2), np.array([0, 1])
        outside(kind, file, "rewards", secret)
    return lambda: read_d4rl(root / "log.hdf5")


def import_door(kind: str, secret: Path, root: Path) -> Callable[[], Any]:
    """Importing an HDF5 file in which something that nobody asks for lies elsewhere."""
    with h5py.File(root / "log.h5", "w") as file:
        outside(kind, file.create_group("unasked"), "rewards", secret)
    return lambda: import_dataset(mapping_for(root / "log.h5"))


@pytest.mark.parametrize("door", [minari_door, d4rl_door, import_door])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_elsewhere_is_refused(
    kind: str, door: Callable[..., Callable[[], Any]], secret: Path, minari_root: Path
) -> None:
    read = door(kind, secret, minari_root)
    with pytest.raises(DataError) as refusal:
        read()
    assert KINDS[kind] in str(refusal.value)
    assert "rewards" in str(refusal.value)


def test_a_link_on_the_way_to_a_dataset_is_refused(minari_root: Path) -> None:
    """Not only the last part of a path: here the episode, then its dict of observations."""
    file = write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)])
    with h5py.File(file, "a") as opened:
        opened.move("episode_0", "hidden")
        opened["episode_0"] = h5py.SoftLink("/hidden")
    with pytest.raises(DataError, match="'episode_0' is a link to elsewhere"):
        read_minari("toy/arrow-v0")


def test_groups_that_hold_themselves_or_are_reached_twice_are_refused(tmp_path: Path) -> None:
    """A circle has paths without end; a ladder of 40 rungs with two sides each has a million million of them."""
    with h5py.File(tmp_path / "circle.h5", "w") as file:
        file.create_group("a")["again"] = file["/"]
    with pytest.raises(DataError, match="a/again is a group that has another path too"):
        import_dataset(mapping_for(tmp_path / "circle.h5"))
    with h5py.File(tmp_path / "ladder.h5", "w") as file:
        rung = file["/"]
        for _ in range(40):
            rung["right"] = rung.create_group("left")
            rung = rung["left"]
    with pytest.raises(DataError, match="is more than 32 groups deep"):
        import_dataset(mapping_for(tmp_path / "ladder.h5"))
    with h5py.File(tmp_path / "twice.h5", "w") as file:
        file["right"] = file.create_group("left")
    with pytest.raises(DataError, match="right is a group that has another path too"):
        import_dataset(mapping_for(tmp_path / "twice.h5"))


def test_a_filter_that_is_a_plugin_is_refused(tmp_path: Path) -> None:
    """HDF5 would look for a library of that number and load it."""
    with h5py.File(tmp_path / "log.h5", "w") as file:
        space, plist = h5py.h5s.create_simple((100,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((100,))
        plist.set_filter(32008, h5py.h5z.FLAG_OPTIONAL)  # bitshuffle's number
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, plist)
    with pytest.raises(DataError, match=r"/x needs the HDF5 plug-in 32008; refused"):
        import_dataset(mapping_for(tmp_path / "log.h5"))


def test_filters_that_hdf5_brings_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        for name, how in {"gzip": {"compression": "gzip", "shuffle": True, "fletcher32": True}, "lzf": {}}.items():
            file.create_dataset(name, data=np.arange(9.0), **({"compression": name} | how))
    with open_hdf5(tmp_path / "log.h5") as file:
        found = {name: dataset[()].tolist() for name, dataset in walk(file)}
    assert found == {"gzip": list(range(9)), "lzf": list(range(9))}


@pytest.mark.parametrize(
    ("shape", "chunks", "declared"),
    [
        ((2**25 + 1,), None, "268,435,464"),
        ((2**20, 2**20), None, "8,796,093,022,208"),
        ((10**12,), (1000,), "8,000,000,000,000"),
        ((2**30, 2**32), (1000, 1), "36,893,488,147,419,103,232"),  # beyond 64 bits, where it wraps around to nothing
    ],
)
def test_more_than_is_stored_is_refused_before_room_is_made(
    shape: tuple[int, ...], chunks: tuple[int, ...] | None, declared: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file.create_dataset("x", shape, "f8", chunks=chunks)
        with pytest.raises(DataError, match=f"/x declares {declared} bytes but stores 0; the file is broken"):
            list(walk(file))


def test_a_small_array_of_one_value_is_no_bomb(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file.create_dataset("x", (10**6,), "f8", fillvalue=0.5)
        ((_, dataset),) = walk(file)
        assert dataset[-1] == 0.5


def test_arrays_that_together_exceed_the_memory_are_refused(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand episodes that are one and the same on disk; the memory holds 40 kB."""
    file = write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], total_episodes=1000)
    with h5py.File(file, "a") as opened:
        for index in range(1, 1000):
            opened[f"episode_{index}"] = opened["episode_0"]
    assert read_minari("toy/arrow-v0").n_episodes == 1000
    monkeypatch.setattr(limits, "free_memory", lambda: 40_000)
    with pytest.raises(DataError, match=r"brings what is to be read to 40,\d+ bytes, and this machine has 40,000 free"):
        read_minari("toy/arrow-v0")


def test_a_chunk_that_exceeds_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be unpacked whole for its first row; the ratio of sizes is left out of account here."""
    monkeypatch.setattr(limits, "BOMB_RATIO", 10**12)
    monkeypatch.setattr(limits, "free_memory", lambda: 2**29 - 1)
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file.create_dataset("x", (2**29,), "u1", chunks=(2**29,))
        with pytest.raises(DataError, match="/x, in one chunk, brings what is to be read to 536,870,912 bytes"):
            list(walk(file))


def test_an_empty_dataset_is_no_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file["x"] = h5py.Empty("f8")
        with pytest.raises(DataError, match="/x holds float64, not numbers"):
            list(walk(file))
