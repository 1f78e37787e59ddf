"""The embedded datasets: recorded the same every time, and of the quality they claim."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from orl.data import catalog, pendulum
from orl.data.local import local_ids
from orl.data.readers.minari import read_minari
from orl.errors import DataError

SMALL = (pendulum.Part("random", 1, 0.0, np.inf), pendulum.Part("weak", 1, 0.6, 0.6))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datasets folder with both embedded datasets, recorded once for this module."""
    root = tmp_path_factory.mktemp("embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        for name in pendulum.RECIPES:
            catalog.load(name)
    return root


def test_recording_twice_gives_the_same_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for name in ("a", "b"):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / name))
        pendulum.record("orl/pendulum/small-v0", SMALL, reference_episodes=2)
        data = read_minari("orl/pendulum/small-v0")
        prints.append((data.fingerprint, data.reference))
    assert prints[0] == prints[1]
    assert os.environ["MINARI_DATASETS_PATH"] == str(tmp_path / "b")


def test_a_recording_is_a_minari_dataset_for_pendulum(minari_root: Path) -> None:
    import minari

    pendulum.record("orl/pendulum/small-v0", SMALL, reference_episodes=2)
    theirs, ours = minari.load_dataset("orl/pendulum/small-v0"), read_minari("orl/pendulum/small-v0")
    assert theirs.total_steps == len(ours) == 400
    assert np.array_equal(theirs[1].observations[:-1], ours.obs[200:])
    assert np.array_equal(theirs[1].observations[1:], ours.next_obs[200:])
    assert (ours.env_id, ours.max_episode_steps) == ("Pendulum-v1", 200)
    assert (ours.action_low.tolist(), ours.action_high.tolist()) == ([-2], [2])
    assert "orl/pendulum" in minari.namespace.list_local_namespaces()


def test_an_interrupted_recording_leaves_nothing(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pendulum, "publish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pendulum.record("orl/pendulum/small-v0", SMALL, reference_episodes=1)
    assert local_ids() == []
    assert list(minari_root.iterdir()) == []
    assert os.environ["MINARI_DATASETS_PATH"] == str(minari_root)


def test_only_a_changed_recipe_is_recorded_again(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "REFERENCE_EPISODES", 1)
    monkeypatch.setattr(pendulum, "RECIPES", {pendulum.MIXED: SMALL})
    said: list[str] = []
    catalog.load(pendulum.MIXED, said.append)
    catalog.load(pendulum.MIXED, said.append)
    assert len(said) == 1
    assert said[0].startswith(f"recording {pendulum.MIXED} (400 steps)")
    monkeypatch.setattr(pendulum, "RECIPES", {pendulum.MIXED: SMALL[:1]})
    assert len(catalog.load(pendulum.MIXED, said.append)) == 200
    assert len(said) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match="not writable; set MINARI_DATASETS_PATH"):
        pendulum.record("orl/pendulum/small-v0", SMALL)


def test_the_controller_pumps_energy_and_balances() -> None:
    hanging, upright = np.array([-1, 0, 0.1]), np.array([np.cos(0.1), np.sin(0.1), 0.0])
    assert pendulum.swing_up(hanging) == 2.0
    assert pendulum.swing_up(hanging * [1, 1, -1]) == -2.0
    assert pendulum.swing_up(hanging, limit=0.5) == 0.5
    assert pendulum.swing_up(upright) == pytest.approx(-1.5)
    assert pendulum.episode_returns(pendulum.GOOD, 100, seed=77).mean() >= -160


def test_mixed_has_the_quality_it_claims(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(recorded))
    data = catalog.load(catalog.DEFAULT)
    assert (len(data), data.n_episodes, data.terminated.any()) == (20_000, 100, False)
    assert data.reference.max >= -160
    assert data.reference.min < -1100
    assert 35 <= data.reference.score(data.returns).mean() <= 45
    assert data.reference.score(data.returns[80:]).mean() > 95
    assert data.action.min() < -1.99
    assert data.action.max() > 1.99


def test_narrow_has_the_quality_it_claims(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(recorded))
    data = catalog.load(pendulum.NARROW)
    assert (len(data), data.n_episodes) == (2_000, 10)
    assert 20 <= data.reference.score(data.returns).mean() <= 45
    assert np.abs(data.action).max() < 0.9  # large torques are never seen
