"""From names to datasets, and what the catalogue says of them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_logs import make_dataset, minari_episode, write_minari

from orl.data import catalog, pendulum
from orl.data.episodes import Reference
from orl.data.local import local_ids
from orl.errors import DataError


def test_names_find_their_readers(minari_root: Path, tmp_path: Path) -> None:
    write_minari(minari_root, "toy/walk-v0", [minari_episode(3)])
    assert catalog.load("toy/walk-v0").name == "toy/walk-v0"
    arrays = {"obs": np.zeros((2, 1)), "next_obs": np.zeros((2, 1)), "action": np.zeros((2, 1)), "reward": np.ones(2)}
    np.savez(tmp_path / "log.npz", **arrays, done=np.zeros(2), truncated=np.zeros(2))
    assert catalog.load(str(tmp_path / "log.npz")).returns.tolist() == [2.0]
    (tmp_path / "log.h5").write_text("x")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        catalog.load(str(tmp_path / "log.h5"))


def test_what_is_loaded_is_checked(minari_root: Path) -> None:
    write_minari(minari_root, "toy/nan-v0", [minari_episode(2, rewards=np.array([0.0, np.nan]))])
    with pytest.raises(DataError, match="toy/nan-v0: reward is nan at row 1"):
        catalog.load("toy/nan-v0")
    write_minari(minari_root, "toy/wide-v0", [minari_episode(2, actions=np.full((2, 1), 3.0))])
    with pytest.raises(DataError, match="outside its bounds"):
        catalog.load("toy/wide-v0")


def test_an_audit_sees_what_is_refused_otherwise(minari_root: Path, tmp_path: Path) -> None:
    write_minari(minari_root, "toy/nan-v0", [minari_episode(2, rewards=np.array([0.0, np.nan]))])
    assert np.isnan(catalog.load("toy/nan-v0", checked=False).reward[1])
    rows = np.arange(4.0)[:, None]
    arrays = {"obs": rows, "next_obs": rows, "action": 5 * rows, "reward": np.ones(4)}
    np.savez(tmp_path / "log.npz", **arrays, done=np.zeros(4), truncated=np.zeros(4))
    with pytest.raises(DataError, match="flags or rows are shifted"):
        catalog.load(str(tmp_path / "log.npz"))
    assert catalog.load(str(tmp_path / "log.npz"), checked=False).next_obs[:, 0].tolist() == [0, 1, 2, 3]
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        content = {"observations": rows, "next_observations": rows, "actions": rows, "rewards": np.ones(4)}
        for key, value in (content | {"terminals": np.zeros(4), "timeouts": np.zeros(4)}).items():
            file[key] = value
    with pytest.raises(DataError, match="flags or rows are shifted"):
        catalog.load(str(tmp_path / "log.hdf5"))
    assert len(catalog.load(str(tmp_path / "log.hdf5"), checked=False)) == 4
    np.savez(tmp_path / "log.npz", **(arrays | {"reward": np.ones(3)}), done=np.zeros(4), truncated=np.zeros(4))
    with pytest.raises(DataError, match="unlike lengths"):
        catalog.load(str(tmp_path / "log.npz"), checked=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy/wolk-v0", r"did you mean toy/walk-v0\?.*orl data download toy/wolk-v0"),
        ("orl/pendulum/mixd-v0", r"did you mean orl/pendulum/mixed-v0"),
        ("log.csv", r"cannot read 'log.csv'; readable are D4RL .hdf5 and .h5 files, NeoRL .npz files"),
        ("toy/walk", r"cannot read 'toy/walk' \(did you mean toy/walk-v0\?\); readable are"),
        ("", "cannot read ''"),
        ("nowhere/log.npz", "no file nowhere/log.npz; check the path"),
    ],
)
def test_unknown_names_are_refused_with_advice(minari_root: Path, name: str, message: str) -> None:
    write_minari(minari_root, "toy/walk-v0", [minari_episode(3)])
    with pytest.raises(DataError, match=message):
        catalog.load(name)


def test_a_misspelt_file_finds_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "hopper_medium-v2.hdf5").write_text("x")
    with pytest.raises(DataError, match=r"did you mean hopper_medium-v2.hdf5\?"):
        catalog.load(str(tmp_path / "hoper_medium-v2.hdf5"))


def test_the_list_reads_metadata_only(minari_root: Path) -> None:
    file = write_minari(minari_root, "toy/walk-v0", [minari_episode(3)] * 2, env_spec=json.dumps({"id": "Hopper-v5"}))
    file.unlink()
    (minari_root / ".recording-x" / "toy" / "half-v0" / "data").mkdir(parents=True)
    (minari_root / ".recording-x" / "toy" / "half-v0" / "data" / "metadata.json").write_text("{}")
    assert local_ids() == ["toy/walk-v0"]
    listed = {info.id: info for info in catalog.list_datasets()}
    assert list(listed) == ["orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0", "toy/walk-v0"]
    assert listed["toy/walk-v0"][1:4] == (6, 2, "Hopper-v5")
    assert listed["toy/walk-v0"].where == str(minari_root / "toy" / "walk-v0")
    assert listed[catalog.DEFAULT][1:] == (20_000, 100, "Pendulum-v1", "embedded, recorded when first used")


def test_unreadable_metadata_do_not_hide_the_others(minari_root: Path) -> None:
    file = write_minari(minari_root, "toy/bad-v0", [minari_episode(3)])
    (file.parent / "metadata.json").write_text("[]")
    with pytest.warns(UserWarning, match="toy/bad-v0 left out"):
        assert len(catalog.list_datasets()) == 2


def test_the_summary_counts(minari_root: Path) -> None:
    shown = catalog.summary(make_dataset((3, 2, 1), reference=Reference(0.0, 10.0, "here"), env_id="E-v0"))
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["steps"], shown["episodes"], shown["obs_dim"], shown["action_dim"]) == (6, 3, 2, 1)
    assert shown["returns"] == {"mean": 5.0, "min": 3.0, "max": 7.0}
    assert shown["lengths"] == {"mean": 2.0, "min": 1.0, "max": 3.0}
    assert (shown["terminals"], shown["timeouts"]) == (1, 2)
    assert shown["reference"] == {"min": 0.0, "max": 10.0, "source": "here"}
    assert shown["behaviour_score"] == 50.0
    assert catalog.summary(make_dataset())["behaviour_score"] is None


def test_download_records_what_is_embedded(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "RECIPES", {pendulum.MIXED: (pendulum.Part("good", 1),)})
    monkeypatch.setattr(pendulum, "REFERENCE_EPISODES", 1)
    folder = catalog.download(pendulum.MIXED)
    assert (folder / "data" / "metadata.json").is_file()
