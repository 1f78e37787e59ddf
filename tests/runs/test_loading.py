"""From a dataset to device arrays: units, the split, where held-out episodes begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.runs.loading import continues, load_split, transitions


def counting_log(lengths: tuple[int, ...]) -> Dataset:
    """Observations count rows; actions lie in [-1.5, 2.5] and [0, 8]."""
    steps = sum(lengths)
    ends = np.cumsum(lengths) - 1
    obs = np.arange(steps, dtype=np.float32)[:, None]
    action = np.zeros((steps, 2), np.float32)
    action[:4] = [[-1.5, 0.0], [2.5, 8.0], [0.5, 4.0], [1.5, 2.0]]
    truncated = np.zeros(steps, bool)
    truncated[ends] = True
    return Dataset(
        name="counting",
        obs=obs,
        action=action,
        reward=np.ones(steps, np.float32),
        next_obs=obs + 1,
        terminated=np.zeros(steps, bool),
        truncated=truncated,
        starts=np.concatenate([[0], ends[:-1] + 1]),
        action_low=np.array([-1.5, 0.0], np.float32),
        action_high=np.array([2.5, 8.0], np.float32),
    )


def test_actions_are_rescaled_to_the_unit_box() -> None:
    rows = transitions(counting_log((4, 4)), np.arange(4))
    assert np.asarray(rows.action).tolist() == [[-1, -1], [1, 1], [0, 0], [0.5, -0.5]]
    assert rows.terminated.dtype == np.float32
    assert rows.obs[:, 0].tolist() == [0, 1, 2, 3]


def test_held_out_episodes_begin_where_they_begin() -> None:
    data = counting_log(tuple([5] * 20))
    loaded = load_split(data, 0.3, 1000)
    held = np.asarray(loaded.holdout.obs)[:, 0]
    assert len(held) == 30
    assert loaded.holdout_starts.tolist() == [0, 5, 10, 15, 20, 25]
    assert (held[loaded.holdout_starts] % 5 == 0).all()  # each of these rows is the first of its episode
    assert sorted([*held, *np.asarray(loaded.train.obs)[:, 0]]) == list(range(100))
    assert set(loaded.initial_obs[:, 0]) == set(range(0, 100, 5)) - set(held)


def test_at_most_so_many_rows_are_held_out() -> None:
    assert len(load_split(counting_log(tuple([5] * 20)), 0.3, 12).holdout.reward) == 10


def test_a_single_episode_is_held_out_by_its_tail() -> None:
    loaded = load_split(counting_log((10,)), 0.2, 1000)
    assert np.asarray(loaded.holdout.obs)[:, 0].tolist() == [8, 9]
    assert loaded.holdout_starts.tolist() == [0]
    assert loaded.initial_obs.tolist() == [[0]]


def test_every_seed_is_judged_on_the_same_rows(
    orl: Callable[..., Any], pendulum_log: str, fitted: dict[str, Any], tmp_path: Path
) -> None:
    """What only depends on the held-out rows is the same for another seed; the model is not."""
    words = [word for key in ("hidden=[8]", "weight_decay=[0,0]", "members=3", "elites=2", "max_epochs=2")
             for word in ("--set", f"model.{key}")]  # fmt: skip
    other = orl("fit-model", "-d", pendulum_log, "--seed", 1, "--runs", tmp_path, "--json", *words).document["holdout"]
    assert other["persistence_per_dim"] == fitted["holdout"]["persistence_per_dim"]
    assert other["rmse"] != fitted["holdout"]["rmse"]
    data = load(pendulum_log)
    held = load_split(data, 0.1, 20_000).holdout
    drift = np.asarray(held.obs, np.float64) - np.asarray(held.next_obs, np.float64)
    assert other["persistence_per_dim"] == pytest.approx(np.sqrt((drift**2).mean(axis=0)), rel=1e-6)


def test_rows_continue_inside_an_episode_and_nowhere_else() -> None:
    """Episodes of rows 0-2, 3-4 and 5-8. The middle one is held out, then single rows are."""
    data = counting_log((3, 2, 4))
    assert continues(data, np.arange(9)).tolist() == [1, 1, 0, 1, 0, 1, 1, 1, 0]
    assert continues(data, np.array([0, 1, 2, 5, 6, 7, 8])).tolist() == [1, 1, 0, 1, 1, 1, 0]
    assert continues(data, np.array([0, 2, 3, 4, 6, 8])).tolist() == [0, 0, 1, 0, 0, 0]


def test_training_rows_know_where_their_episodes_go_on() -> None:
    data = counting_log(tuple([5] * 20))
    loaded = load_split(data, 0.3, 1000)
    row = np.asarray(loaded.train.obs)[:, 0].astype(int)
    np.testing.assert_array_equal(loaded.continues, row % 5 != 4)
