"""Minari datasets: episodes, ends, flattening, and that nothing in the metadata is executed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_logs import ACTIONS, BOX, minari_episode, write_minari

from orl.data.fields import flatten_observation
from orl.data.readers import hub
from orl.data.readers.minari import download_minari, read_minari
from orl.errors import DataError, MissingError

ID = "toy/walk-v0"
POINT = {"type": "Box", "dtype": "float64", "shape": [1], "low": [-1], "high": [1]}


def test_next_observations_stay_inside_their_episode(minari_root: Path) -> None:
    write_minari(minari_root, ID, [minari_episode(3), minari_episode(2, first=100.0)])
    data = read_minari(ID)
    assert data.starts.tolist() == [0, 3]
    assert data.obs[:, 0].tolist() == [0, 2, 4, 100, 102]
    assert data.next_obs[:, 0].tolist() == [2, 4, 6, 102, 104]
    assert data.reward.tolist() == [0, 1, 2, 0, 1]
    assert data.obs.shape == (5, 2)
    assert data.action.shape == (5, 1)
    assert data.obs.dtype == data.action.dtype == data.reward.dtype == np.float32
    assert data.obs_fields == ()


def test_true_ends_and_timeouts_are_kept_apart_and_a_cut_counts_as_truncated(minari_root: Path) -> None:
    no, yes = np.zeros(2, bool), np.array([False, True])
    write_minari(
        minari_root,
        ID,
        [
            minari_episode(2, terminations=yes, truncations=no),
            minari_episode(2, terminations=no, truncations=yes),
            minari_episode(2, terminations=no, truncations=no),
        ],
    )
    data = read_minari(ID)
    assert data.terminated.tolist() == [False, True, False, False, False, False]
    assert data.truncated.tolist() == [False, False, False, True, False, True]


def test_episodes_are_read_in_the_order_of_their_numbers(minari_root: Path) -> None:
    write_minari(minari_root, ID, [minari_episode(1, first=float(index)) for index in range(11)])
    assert read_minari(ID).obs[:, 0].tolist() == list(range(11))


def test_nested_observations_are_flattened_in_the_recorded_order(minari_root: Path) -> None:
    space = {
        "type": "Dict",
        "subspaces": {
            "z": BOX,
            "a": {"type": "Tuple", "subspaces": [POINT, {"type": "Dict", "subspaces": {"q": POINT}}]},
        },
    }
    tree = {
        "z": np.array([[1, 2], [3, 4]]),
        "a": {"_index_0": np.array([[5.0], [6]]), "_index_1": {"q": np.array([[7.0], [8]])}},
    }
    write_minari(minari_root, ID, [minari_episode(1, observations=tree)], observation_space=json.dumps(space))
    data = read_minari(ID)
    assert data.obs_fields == (("a/_index_0", 1), ("a/_index_1/q", 1), ("z", 2))
    assert data.obs.tolist() == [[5, 7, 1, 2]]
    assert data.next_obs.tolist() == [[6, 8, 3, 4]]
    live = {"z": np.array([1.0, 2]), "a": (np.array([5.0]), {"q": np.array([7.0])})}
    assert flatten_observation(live, data.obs_fields).tolist() == [5, 7, 1, 2]


def test_a_live_observation_of_another_environment_is_refused() -> None:
    with pytest.raises(DataError, match="no 'goal'"):
        flatten_observation({"z": np.zeros(2)}, (("goal", 2),))
    with pytest.raises(DataError, match="has 3 numbers, the dataset has 2"):
        flatten_observation({"z": np.zeros(3)}, (("z", 2),))
    assert flatten_observation(np.ones((2, 2)), ()).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"type": "Discrete", "n": 3, "start": 0, "dtype": "int64"}, "actions are Discrete .*only continuous actions"),
        ({"type": "Dict", "subspaces": {"a": ACTIONS}}, "actions are Dict"),
        (ACTIONS | {"dtype": "int32"}, r"actions are Box \(int32\)"),
        (ACTIONS | {"shape": [1, 1], "low": [[-1.0]], "high": [[1.0]]}, "a flat vector is needed"),
        (ACTIONS | {"low": "junk"}, "unreadable action bounds"),
    ],
)
def test_unsupported_actions_are_refused(minari_root: Path, space: dict, message: str) -> None:
    write_minari(minari_root, ID, [minari_episode(2)], action_space=json.dumps(space))
    with pytest.raises(DataError, match=f"{ID}.*{message}"):
        read_minari(ID)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"type": "Discrete", "n": 3}, "observation is a Discrete space"),
        ({"type": "Dict", "subspaces": {"x": {"type": "Text"}}}, "observation 'x' is a Text space"),
        ({"type": "Dict", "subspaces": {}}, "is a Dict space"),
        ({"type": "Dict", "subspaces": {"x/y": BOX}}, "contains '/'"),
        (BOX | {"dtype": "uint8", "shape": [8, 8, 3]}, "is an image"),
        (BOX | {"shape": [3]}, "do not have the shape"),
        (BOX | {"shape": None}, "has the shape None"),
    ],
)
def test_unsupported_observations_are_refused(minari_root: Path, space: dict, message: str) -> None:
    write_minari(minari_root, ID, [minari_episode(2)], observation_space=json.dumps(space))
    with pytest.raises(DataError, match=f"{ID}.*{message}"):
        read_minari(ID)


def test_infinite_action_bounds_become_the_logged_range(minari_root: Path) -> None:
    space = json.dumps(ACTIONS | {"low": [-np.inf], "high": [2.0]})
    actions = np.array([[-0.25], [0.75]], np.float32)
    write_minari(minari_root, ID, [minari_episode(2, actions=actions)], action_space=space)
    with pytest.warns(UserWarning, match=f"{ID}: infinite action bounds"):
        data = read_minari(ID)
    assert (data.action_low.tolist(), data.action_high.tolist()) == ([-0.25], [2.0])


def test_environment_and_reference_are_read_as_data(minari_root: Path) -> None:
    spec = {"id": "Hopper-v5", "entry_point": "os:abort", "kwargs": {"healthy_reward": 2}, "max_episode_steps": 7}
    write_minari(minari_root, ID, [minari_episode(2)], env_spec=json.dumps(spec), ref_min_score=10, ref_max_score=30.0)
    data = read_minari(ID)
    assert (data.env_id, data.env_kwargs, data.max_episode_steps) == ("Hopper-v5", {"healthy_reward": 2}, 7)
    assert data.reference.score(20.0) == 50.0
    assert data.reference.source == "the dataset's metadata"


def test_an_environment_spec_is_kept_as_text_and_nothing_is_imported(minari_root: Path) -> None:
    text = json.dumps({"id": "evil_module:Env-v0"})
    write_minari(minari_root, ID, [minari_episode(2)], env_spec=text)
    data = read_minari(ID)
    assert (data.env_id, data.env_spec) == ("evil_module:Env-v0", text)  # no such module, so importing it would fail


@pytest.mark.parametrize("bounds", [{}, {"ref_min_score": 5.0}, {"ref_min_score": 5.0, "ref_max_score": 5.0}])
def test_no_reference_without_two_unlike_scores(minari_root: Path, bounds: dict) -> None:
    write_minari(minari_root, ID, [minari_episode(2)], **bounds)
    assert read_minari(ID).reference is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": np.zeros((2, 2))}, r"episode_0: 2 rewards.*observations \[2\]; expected T"),
        ({"actions": np.zeros((3, 1))}, "'actions': 3"),
        ({"truncations": np.zeros(1, bool)}, "'truncations': 1"),
        ({"actions": np.zeros((2, 4))}, "do not have the shape"),
        ({"rewards": b"text"}, "not numbers"),
        ({"observations": {"x": np.zeros((3, 2))}}, "no array 'observations'"),
    ],
)
def test_broken_episodes_are_refused(minari_root: Path, changes: dict, message: str) -> None:
    write_minari(minari_root, ID, [minari_episode(2, **changes)])
    with pytest.raises(DataError, match=message):
        read_minari(ID)


def test_a_missing_episode_is_noticed(minari_root: Path) -> None:
    write_minari(minari_root, ID, [minari_episode(2)], total_episodes=2)
    with pytest.raises(DataError, match="1 episodes on file, 2 in its metadata"):
        read_minari(ID)


def test_a_broken_file_and_another_format_are_named(minari_root: Path) -> None:
    file = write_minari(minari_root, ID, [minari_episode(50)])
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(DataError, match=r"main_data\.hdf5: cannot be read as HDF5"):
        read_minari(ID)
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], data_format="arrow")
    with pytest.raises(DataError, match="stored as arrow"):
        read_minari("toy/arrow-v0")
    (minari_root / "toy/arrow-v0/data/metadata.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot read .*metadata.json"):
        read_minari("toy/arrow-v0")


def test_links_out_of_the_file_are_refused(minari_root: Path, tmp_path: Path) -> None:
    import h5py

    file = write_minari(minari_root, ID, [minari_episode(2)])
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.arange(2, dtype=np.float64).tobytes())
    for link in (h5py.ExternalLink("other.hdf5", "/x"), h5py.SoftLink("/episode_0/actions")):
        with h5py.File(file, "a") as opened:
            del opened["episode_0/rewards"]
            opened["episode_0/rewards"] = link
        with pytest.raises(DataError, match="'rewards' is a link to elsewhere"):
            read_minari(ID)
    with h5py.File(file, "a") as opened:
        del opened["episode_0/rewards"]
        opened["episode_0"].create_dataset("rewards", (2,), "f8", external=[(str(secret), 0, 16)])
    with pytest.raises(DataError, match="stored in another file"):
        read_minari(ID)


def test_a_declared_size_that_is_not_stored_is_refused(minari_root: Path) -> None:
    import h5py

    file = write_minari(minari_root, ID, [minari_episode(2)])
    with h5py.File(file, "a") as opened:
        del opened["episode_0/rewards"]
        opened["episode_0"].create_dataset("rewards", (10**12,), "f8", chunks=(1000,))
    with pytest.raises(DataError, match="declares 8,000,000,000,000 bytes"):
        read_minari(ID)


def test_a_missing_dataset_names_folder_and_neighbours(minari_root: Path) -> None:
    write_minari(minari_root, ID, [minari_episode(2)])
    with pytest.raises(DataError) as caught:
        read_minari("toy/wolk-v0")
    message = str(caught.value)
    assert str(minari_root) in message
    assert "did you mean toy/walk-v0?" in message
    assert "orl data download toy/wolk-v0" in message


@pytest.mark.parametrize("name", ["../outside-v0", "/etc/x-v0", "toy/walk", "a/../b-v0", ""])
def test_a_name_that_is_no_id_is_refused(minari_root: Path, name: str) -> None:
    with pytest.raises(DataError, match="is not a dataset id"):
        read_minari(name)


def test_download_without_a_hub_fails_fast_and_says_what_to_do(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINARI_REMOTE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: refused at once
    with pytest.raises(MissingError, match=r"127.0.0.1:9 does not answer; copy the dataset's folder to .*/far/off-v0 "):
        download_minari("far/off-v0")
    write_minari(minari_root, ID, [minari_episode(2)])
    assert download_minari(ID) == minari_root / ID  # already there: the hub is not asked


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("no such"), DataError), (ImportError("x"), MissingError), (OSError("cut"), MissingError)],
)
def test_faults_of_the_hub_become_one_line(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    import minari

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(hub, "reachable", lambda address: True)
    monkeypatch.setattr(minari, "download_dataset", fail)
    with pytest.raises(kind, match="cannot fetch far/off-v0"):
        download_minari("far/off-v0")


def test_real_hopper_log(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(shared("minari")))
    data = read_minari("sac/hopper/medium-v0")
    assert (len(data), data.n_episodes, int(data.terminated.sum())) == (100_000, 191, 179)
    assert (data.obs.shape[1], data.action.shape[1], data.env_id) == (11, 3, "Hopper-v5")
    np.testing.assert_allclose(data.returns.mean(), 1720.8, atol=0.1)
    inside = np.setdiff1d(np.arange(len(data) - 1), data.starts[1:] - 1)
    assert np.array_equal(data.next_obs[inside], data.obs[inside + 1])
    assert not np.array_equal(data.next_obs[data.starts[1:] - 1], data.obs[data.starts[1:]])
