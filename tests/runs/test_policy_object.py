"""A policy from its run folder alone: actions in the environment's units, inside its bounds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orl as package
from orl.errors import DataError, UsageError
from orl.runs.policy import Policy
from orl.types import Spec

OBS = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 5.0], [0.0, -1.0, -8.0]], np.float32)


def scaled(params: Any, key: Any, obs: Any) -> Any:
    """A policy whose action in [-1, 1] is half the observation."""
    return params * obs


def test_actions_are_in_the_environments_units_and_bounds() -> None:
    policy = Policy(scaled, np.float32(0.5), Spec(2, 2, (-1.5, 0.0), (2.5, 8.0)))
    assert policy([0.0, 0.0]).tolist() == [0.5, 4.0]
    assert policy([[2.0, -2.0], [-2.0, 1.0]]).tolist() == [[2.5, 0.0], [-1.5, 6.0]]
    assert policy([50.0, -50.0]).tolist() == [2.5, 0.0]  # never outside
    policy.use(np.float32(0.25))
    assert policy([2.0, -2.0]).tolist() == [1.5, 2.0]
    assert policy.reset() is None
    assert policy.reset(rows=np.array([0])) is None
    assert policy([2.0, -2.0], reward=1.0).tolist() == [1.5, 2.0]


def test_an_observation_of_another_size_is_refused() -> None:
    policy = Policy(scaled, np.float32(1), Spec(2, 2, (-1.0, -1.0), (1.0, 1.0)))
    for obs in ([1.0], [[1.0, 2.0, 3.0]], 1.0, [[[1.0, 2.0]]]):
        with pytest.raises(DataError, match=r"this policy takes \[2\] or a batch"):
            policy(obs)


def test_it_loads_elsewhere_without_dataset_model_or_runs(
    orl: Callable[..., Any], write_log: Callable[..., Path], tmp_path: Path
) -> None:
    """Asymmetric torques [-1.5, 2.5]; after moving the folder and deleting the data the actions are the same."""
    log = write_log(tmp_path / "log.npz")
    words = ["model.hidden=[8]", "model.weight_decay=[0,0]", "model.members=3", "model.elites=2", "model.max_epochs=2"]
    words += ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10", "train.eval_episodes=2"]
    words += ["agent.rollout_batch=16", "agent.rollout_length=2", "agent.real_ratio=0.5"]
    options = [word for assignment in words for word in ("--set", assignment)]
    done = orl("train-policy", "-a", "mopo", "-d", log, "--steps", 20, "--runs", tmp_path / "runs", "--json", *options)
    assert done.code == 0, done.err
    assert "score" not in done.document  # no environment, no score
    low, high = done.document["dataset"]["action_low"][0], done.document["dataset"]["action_high"][0]
    assert (low, high) == pytest.approx((-1.5, 2.5), abs=0.05)

    here = package.load_policy(done.document["run"])(OBS)
    shutil.move(done.document["run"], tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "runs")
    log.unlink()
    policy = package.load_policy(str(tmp_path / "elsewhere"))
    assert policy(OBS).tobytes() == here.tobytes()
    assert here.shape == (3, 1)
    # one row or a batch: other matrix products, so the last bits may differ
    assert policy(OBS[1]) == pytest.approx(here[1], abs=1e-6)
    assert len(set(here[:, 0].tolist())) == 3
    far = policy(np.random.default_rng(0).normal(size=(200, 3)) * 1e4)
    assert far.min() >= np.float32(low)
    assert far.max() <= np.float32(high)
    assert far.min() < low + 0.4
    assert far.max() > high - 0.4  # both ends are nearly reached: the interval is the asymmetric one
    # nothing was evaluated, so the best policy is the last one, not the one training began with
    assert package.load_policy(tmp_path / "elsewhere", checkpoint="best")(OBS).tobytes() == here.tobytes()
    assert package.load_model(tmp_path / "elsewhere" / "model").termination == "never"


def test_seeds_and_checkpoints_are_chosen_by_name(cloned: dict[str, Any]) -> None:
    run = cloned["run"]
    first, second = (package.load_policy(run, seed=seed)(OBS) for seed in (0, 1))
    assert package.load_policy(run)(OBS).tobytes() == first.tobytes()
    assert np.abs(first - second).max() > 1e-3
    with pytest.raises(UsageError, match=r"holds the seeds \[0, 1\], not 2"):
        package.load_policy(run, seed=2)
    with pytest.raises(UsageError, match="'last' or 'best', not 'latest'"):
        package.load_policy(run, checkpoint="latest")


def test_what_is_not_a_policy_is_refused(fitted: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a run folder"):
        package.load_policy(tmp_path)
    with pytest.raises(DataError, match="a run of kind ensemble; one of kind policy is needed"):
        package.load_policy(fitted["run"])


def test_a_run_without_a_checkpoint_is_refused(mopo: dict[str, Any], tmp_path: Path) -> None:
    for file in ("run.json", "config.toml"):
        shutil.copy(Path(mopo["run"]) / file, tmp_path)
    with pytest.raises(DataError, match="has no checkpoint yet"):
        package.load_policy(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(DataError, match="has no complete checkpoint"):
        package.load_policy(tmp_path)
