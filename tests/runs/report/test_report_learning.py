"""Curves over seeds: what is averaged at which steps, and how wide the interval is."""

from __future__ import annotations

import numpy as np
import pytest

from orl.runs.report.learning import MAX_POINTS, curve, mean_interval, series_of, spread_indices

ROWS = [
    {"step": 10, "seed": 0, "q": 1.0, "learning_rate_scale": 0.1},
    {"step": 10, "seed": 1, "q": 3.0},
    {"step": 20, "seed": 0, "q": 3},
    {"step": 20, "seed": 1, "q": 5.0, "eval_return": None},
    {"step": 30, "seed": 0, "q": 9.0, "note": "<script>", "flag": True},
    {"step": 30, "seed": 1, "q": None},
]


def test_only_numbers_are_metrics() -> None:
    assert series_of(ROWS) == {"q": {0: {10: 1.0, 20: 3.0, 30: 9.0}, 1: {10: 3.0, 20: 5.0}}}


def test_the_mean_is_taken_where_every_seed_has_a_value() -> None:
    """Of two seeds a redrawn mean is either's own value a quarter of the time: beyond the 2.5% on both sides."""
    found = curve(series_of(ROWS)["q"])
    assert found == {"steps": [10, 20], "mean": [2.0, 4.0], "low": [1.0, 3.0], "high": [3.0, 5.0], "seeds": 2}


def test_one_seed_has_no_interval() -> None:
    assert curve({4: {1: 2.0, 2: 7.0}}) == {"steps": [1, 2], "mean": [2.0, 7.0], "low": None, "high": None, "seeds": 1}


def test_seeds_without_a_common_step_have_no_curve() -> None:
    found = curve({0: {1: 2.0}, 1: {2: 7.0}})
    assert (found["steps"], found["mean"], found["low"], found["seeds"]) == ([], [], None, 2)


def test_the_interval_is_that_of_redrawn_means() -> None:
    """Against a plain loop over redrawn seeds, and the normal approximation with 30 of them."""
    values = np.random.default_rng(1).normal(size=(30, 2)) * [1.0, 10.0]
    low, high = mean_interval(values)
    rng = np.random.default_rng(2)
    means = np.array([values[rng.integers(30, size=30)].mean(axis=0) for _ in range(4000)])
    assert low == pytest.approx(np.quantile(means, 0.025, axis=0), rel=0.15)
    assert high == pytest.approx(np.quantile(means, 0.975, axis=0), rel=0.15)
    half = 1.96 * values.std(axis=0) / np.sqrt(30)
    assert (np.array(high) - low) / 2 == pytest.approx(half, rel=0.1)


def test_long_curves_keep_their_ends() -> None:
    steps = range(1, 1001)
    found = curve({0: {step: float(step) for step in steps}})
    assert len(found["steps"]) == MAX_POINTS
    assert (found["steps"][0], found["steps"][-1]) == (1, 1000)
    assert found["mean"] == [float(step) for step in found["steps"]]
    assert list(spread_indices(3, 5)) == [0, 1, 2]
    assert list(spread_indices(9, 3)) == [0, 4, 8]
