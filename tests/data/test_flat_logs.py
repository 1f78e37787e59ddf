"""D4RL and NeoRL logs: where an episode ends, what came after it, and whose scale scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_logs import write_tree

from orl.data.readers.d4rl import read_d4rl, reference_for
from orl.data.readers.flat import bounds_from_data
from orl.data.readers.neorl import read_neorl
from orl.errors import DataError

# Two episodes: rows 0-2 end truly, rows 3-5 time out; the second starts far away.
OBS = np.array([[0.0], [1], [2], [100], [101], [102]])
NEXT = np.array([[1.0], [2], [3], [101], [102], [103]])
TRUE_ENDS, TIMEOUTS = np.array([0, 0, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 1])
REST = {"actions": np.linspace(-1, 1, 6)[:, None], "rewards": np.arange(6.0)}
D4RL = {"observations": OBS, "terminals": TRUE_ENDS.astype(bool), "timeouts": TIMEOUTS.astype(bool)} | REST


def write_d4rl(path: Path, **changes: Any) -> Path:
    import h5py

    content = {key: value for key, value in (D4RL | changes).items() if value is not None}
    with h5py.File(path, "w") as file:
        write_tree(file, content)
    return path


def test_d4rl_uses_the_next_observations_of_the_file(tmp_path: Path) -> None:
    data = read_d4rl(write_d4rl(tmp_path / "hopper_medium-v2.hdf5", next_observations=NEXT))
    assert data.next_obs[:, 0].tolist() == [1, 2, 3, 101, 102, 103]
    assert data.starts.tolist() == [0, 3]
    assert np.flatnonzero(data.terminated).tolist() == [2]
    assert np.flatnonzero(data.truncated).tolist() == [5]
    assert data.env_id is None
    assert data.reference.source == "D4RL d4rl/infos.py"
    np.testing.assert_allclose(data.reference.score([-20.272305, 3234.3]), [0, 100])


def test_d4rl_without_next_observations_never_crosses_an_episode(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 last rows of time-outs dropped, 1 rows at true ends kept"):
        data = read_d4rl(write_d4rl(tmp_path / "x.hdf5"))
    assert data.obs[:, 0].tolist() == [0, 1, 2, 100, 101]
    assert data.next_obs[:, 0].tolist() == [1, 2, 2, 101, 102]  # the true end repeats itself, never 100
    assert data.reward.tolist() == [0, 1, 2, 3, 4]
    assert data.terminated.tolist() == [False, False, True, False, False]
    assert data.truncated.tolist() == [False, False, False, False, True]
    assert data.starts.tolist() == [0, 3]


@pytest.mark.filterwarnings("ignore:.*no 'next_observations'")
def test_d4rl_log_cut_in_mid_episode_drops_its_last_row(tmp_path: Path) -> None:
    data = read_d4rl(write_d4rl(tmp_path / "x.hdf5", timeouts=np.zeros(6, bool)))
    assert data.next_obs[:, 0].tolist() == [1, 2, 2, 101, 102]
    assert data.truncated.tolist() == [False] * 4 + [True]


@pytest.mark.filterwarnings("ignore:.*no 'next_observations'")
def test_d4rl_one_step_timeouts_vanish_without_touching_their_neighbours(tmp_path: Path) -> None:
    timeouts = np.array([1, 0, 0, 0, 0, 1], bool)
    data = read_d4rl(write_d4rl(tmp_path / "x.hdf5", timeouts=timeouts, terminals=np.array([0, 0, 1, 0, 0, 0])))
    assert data.obs[:, 0].tolist() == [1, 2, 100, 101]
    assert (data.starts.tolist(), data.truncated.tolist()) == ([0, 2], [False, False, False, True])
    data = read_d4rl(write_d4rl(tmp_path / "z.hdf5", timeouts=np.array([0, 0, 0, 1, 0, 1])))
    assert (data.obs[:, 0].tolist(), data.truncated.tolist()) == ([0, 1, 2, 101], [False, False, False, True])
    with pytest.raises(DataError, match="no row has a known next observation"):
        read_d4rl(write_d4rl(tmp_path / "y.hdf5", timeouts=np.ones(6), terminals=np.zeros(6)))


def test_d4rl_next_observations_that_contradict_the_rows_are_refused(tmp_path: Path) -> None:
    shifted = NEXT.copy()
    shifted[4] = 7.0
    with pytest.raises(DataError, match=r"next observation of row 4 is not the observation of row 5.*\(1 such rows\)"):
        read_d4rl(write_d4rl(tmp_path / "x.hdf5", next_observations=shifted))


def test_d4rl_without_timeouts_finds_them_where_rows_break_off_or_refuses(tmp_path: Path) -> None:
    file = write_d4rl(tmp_path / "v0.hdf5", timeouts=None, next_observations=NEXT, terminals=np.zeros(6))
    with pytest.warns(UserWarning, match="no 'timeouts'; 1 found"):
        data = read_d4rl(file)
    assert np.flatnonzero(data.truncated).tolist() == [2, 5]
    with pytest.raises(DataError, match=r"neither 'timeouts' nor 'next_observations'.*use the v2 file"):
        read_d4rl(write_d4rl(tmp_path / "y.hdf5", timeouts=None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": None, "terminals": None}, "lacks rewards, terminals, so it is no D4RL file"),
        ({"rewards": np.zeros(5)}, r"unlike lengths .*'rewards': 5"),
        ({"observations": np.zeros(6)}, r"'observations' has shape \(6,\), expected 2 axes"),
        ({"terminals": np.full(6, 0.5)}, "'terminals' must be 0 or 1, but row 0 is 0.5"),
        ({"next_observations": np.zeros((6, 3))}, r"next_observations \(6, 3\) and observations differ"),
        ({key: value[:0] for key, value in D4RL.items()}, "holds no steps"),
    ],
)
def test_d4rl_faults_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_d4rl(write_d4rl(tmp_path / "x.hdf5", **changes))


def test_d4rl_absent_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_d4rl(tmp_path / "none.hdf5")
    (tmp_path / "text.hdf5").write_text("hello")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        read_d4rl(tmp_path / "text.hdf5")


@pytest.mark.parametrize(
    ("stem", "scale"),
    [
        ("hopper_medium-v2", (-20.272305, 3234.3)),
        ("halfcheetah_medium_replay-v2", (-280.178953, 12135.0)),
        ("Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse", (0.0, 1.0)),
        ("ant_medium-v2", (-325.6, 3879.7)),
        ("maze2d-umaze-sparse-v1", (23.85, 161.86)),
        ("maze2d-umaze-dense-v1", (68.537689, 193.66285642381482)),
        ("pen-human-v1", (96.262799, 3076.8331017826877)),
    ],
)
def test_d4rl_scale_by_file_name(stem: str, scale: tuple[float, float]) -> None:
    reference = reference_for(stem)
    assert (reference.min, reference.max) == scale


@pytest.mark.parametrize("stem", ["maze2d-umaze-sparse", "hopperlike-v2", "pendulum", "bullet-hopper-v0"])
def test_d4rl_gives_no_scale_where_none_is_certain(stem: str) -> None:
    assert reference_for(stem) is None


def test_bounds_are_unit_or_the_logged_range() -> None:
    low, high = bounds_from_data(np.array([[0.1, -0.2], [0.3, 1.0]]))
    assert (low.tolist(), high.tolist()) == ([-1, -1], [1, 1])
    low, high = bounds_from_data(np.array([[0.0, -5.0], [4.0, 1.0]]))
    assert (low.tolist(), high.tolist()) == ([0, -5], [4, 1])


NEORL = {"obs": OBS, "next_obs": NEXT, "action": REST["actions"], "reward": REST["rewards"][:, None]} | {
    "done": TRUE_ENDS.astype(np.float32),
    "truncated": TIMEOUTS.astype(np.float32),
}


def write_neorl(path: Path, **changes: Any) -> Path:
    np.savez(path, **{key: value for key, value in (NEORL | changes).items() if value is not None})
    return path


def test_neorl_episodes_ends_and_scale(tmp_path: Path) -> None:
    data = read_neorl(write_neorl(tmp_path / "DMSD-low-6-train.npz"))
    assert data.starts.tolist() == [0, 3]
    assert np.flatnonzero(data.terminated).tolist() == [2]
    assert np.flatnonzero(data.truncated).tolist() == [5]
    assert data.next_obs[:, 0].tolist() == [1, 2, 3, 101, 102, 103]
    assert data.reward.shape == (6,)
    assert (data.env_id, data.action_low.tolist()) == (None, [-1])
    np.testing.assert_allclose(data.reference.score([30.6, 849.5]), [0, 100])
    assert data.reference.source == "NeoRL-2, arXiv:2503.19267"
    assert read_neorl(write_neorl(tmp_path / "other.npz", truncated=TIMEOUTS * 0)).reference is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"done": None, "truncated": None}, "lacks done, truncated; a NeoRL log has obs, action"),
        ({"reward": np.zeros(5)}, "unlike lengths .*'reward': 5"),
        ({"next_obs": np.zeros((6, 2))}, r"obs \(6, 1\) and next_obs \(6, 2\) differ"),
        ({"next_obs": NEXT[::-1].copy()}, "next observation of row 0 is not the observation of row 1"),
        ({"action": np.array([None] * 6)}, "'action' holds pickled objects, which can run code; refused"),
        ({"action": np.array([["a"]] * 6)}, "not numbers"),
    ],
)
def test_neorl_faults_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_neorl(write_neorl(tmp_path / "x.npz", **changes))


def test_neorl_absent_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_neorl(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"cannot be read as an \.npz"):
        read_neorl(tmp_path / "text.npz")
    with open(tmp_path / "bare.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="holds one bare array"):
        read_neorl(tmp_path / "bare.npz")


@pytest.mark.parametrize(
    ("name", "steps", "episodes", "terminals", "mean"),
    [
        ("DMSD-high-100000-train", 100_000, 1000, 0, 494),
        ("Simglucose-high-100000-train", 100_257, 280, 111, 353),
        ("SafetyHalfCheetah-high-100000-train", 18_000, 18, 0, 1769),
        ("RandomFrictionHopper-high-20000-val", 20_047, 218, 218, 114),
    ],
)
def test_real_neorl_logs(shared, name: str, steps: int, episodes: int, terminals: int, mean: float) -> None:
    data = read_neorl(shared(f"neorl2/{name}.npz"))
    assert (len(data), data.n_episodes, int(data.terminated.sum())) == (steps, episodes, terminals)
    np.testing.assert_allclose(data.returns.mean(), mean, atol=1)
