"""Why tokens: of two ways to act the mean may be neither, and the likely one need not be the good one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import orl
from orl.data.episodes import Dataset
from orl.planning.beam import BeamConfig, make_beam
from orl.planning.receding import Planner
from orl.runs.config import SequenceRunConfig, resolve_policy
from orl.runs.fit_sequence import FittedSequence
from orl.sequence.config import TransformerConfig

MODEL = TransformerConfig(
    layers=1, heads=2, width=32, window=3, bins=16, discretiser="uniform", dropout=0.0, steps=400, epoch_steps=200,
    batch_size=32, chunk=0, learning_rate=3e-3, warmup_steps=20, action_weight=1.0, discount=0.9, weight_decay=0.0,
)  # fmt: skip
STARTS = np.random.default_rng(1).uniform(-1, 1, (400, 1)).astype(np.float32)


def two_ways(left: float, pay_left: float, pay_right: float, folder: Path) -> Dataset:
    """Episodes of 8 steps; each step's action is about -0.8 (with probability `left`) or +0.8, as the pay is."""
    rng, n, length = np.random.default_rng(0), 300, 8
    sign = np.where(rng.random(n * length) < left, -1.0, 1.0)
    obs = rng.uniform(-1, 1, (n, length + 1, 1)).astype(np.float32)
    end = np.tile(np.arange(length) == length - 1, n)
    np.savez(
        folder / "two_ways.npz",
        obs=obs[:, :-1].reshape(-1, 1),
        next_obs=obs[:, 1:].reshape(-1, 1),
        action=np.append(0.8 * sign + 0.05 * rng.standard_normal(n * length), [])[:, None]
        .clip(-1, 1)
        .astype(np.float32),
        reward=np.where(sign < 0, pay_left, pay_right).astype(np.float32),
        done=end,
        truncated=np.zeros_like(end),
    )
    return orl.load_dataset(str(folder / "two_ways.npz"))


def fit(data: Dataset, folder: Path) -> FittedSequence:
    """A small transformer of the log."""
    orl.fit_sequence(data, SequenceRunConfig(data.name, 0, MODEL), folder / "model")
    return orl.load_sequence(folder / "model")


def first_actions(fitted: FittedSequence, data: Dataset, **settings: Any) -> NDArray[np.float32]:
    """[400] first actions planned from `STARTS`."""
    config = BeamConfig(**({"context": 1, "cdf_act": 0.0} | settings))
    plan = make_beam(config, fitted.model)
    return Planner(plan, fitted.params, data.spec, context=1, horizon=config.horizon, chunk=200)(STARTS)[:, 0]


@pytest.mark.slow
def test_two_good_ways_are_both_taken_and_their_mean_never(tmp_path: Path) -> None:
    """Sampled plans: at least 45% each way and nothing between; the mean of a Gaussian clone lies between."""
    data = two_ways(0.5, 1.0, 1.0, tmp_path)
    drawn = first_actions(fit(data, tmp_path), data, beam=1, n_expand=1, horizon=1)
    assert (drawn < -0.6).mean() >= 0.45
    assert (drawn > 0.6).mean() >= 0.45
    assert np.abs(drawn).min() > 0.4
    config, _ = resolve_policy(data.name, "bc", {"train": {"steps": 500, "epoch_steps": 250}})
    orl.train_policy(data, config, tmp_path / "bc")
    cloned = orl.load_policy(tmp_path / "bc")(STARTS)[:, 0]
    assert np.abs(cloned).mean() < 0.2
    assert np.abs(cloned).max() < 0.5


@pytest.mark.parametrize(("objective", "side"), [("likelihood", -1.0), ("reward", 1.0)])
def test_the_likely_way_is_left_for_the_good_one_by_reward_alone(objective: str, side: float, tmp_path: Path) -> None:
    """Four times in five it went left, for nothing; right pays 1 a step."""
    data = two_ways(0.8, 0.0, 1.0, tmp_path)
    chosen = first_actions(fit(data, tmp_path), data, beam=16, n_expand=2, horizon=2, objective=objective)
    assert (side * chosen > 0.6).mean() > 0.97
