"""Intervals: their parts by hand, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from orl.evaluation.ope.crossfit import assign_folds, bootstrap_outside, by_those_outside
from orl.evaluation.ope.intervals import bootstrap_draws, difference, estimate, member_variance, widened


def test_variance_of_members_by_hand() -> None:
    """Two members, folds {0, 1} and {2}: fold means (1, 3) and (5, 9), variances 2 and 8, mean 5.

    Of two folds half of it, and 1/(2 * 2) for the average over members: 5 * 0.75, with 2 degrees of freedom.
    """
    values = np.asarray([[0.0, 2, 5], [2, 4, 9]])
    assert member_variance(values, np.asarray([0, 0, 1])) == (3.75, 2)
    assert member_variance(values, np.zeros(3, np.int64)) == (pytest.approx(np.var([7 / 3, 5], ddof=1) * 1.5), 1)
    thirds = np.asarray([[0.0, 2, 5], [2, 4, 11]])  # fold variances 2, 2 and 18, mean 22/3
    assert member_variance(thirds, np.arange(3)) == (pytest.approx(22 / 3 * (2 / 3 + 1 / 6)), 3)
    assert member_variance(values[:1], np.zeros(3, np.int64)) == (0.0, 0)


def test_bootstrap_has_the_spread_of_a_mean() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    draws = bootstrap_draws(values, 8000)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.002)
    assert draws.std() == pytest.approx(values.std() / 20, rel=0.03)


def test_widened_normal_draws_are_students_t() -> None:
    """A bootstrap of 6 episodes is too narrow by the root of 5/6; what comes out are the quantiles of t with 5."""
    plain = np.random.default_rng(0).standard_normal(200_000) * np.sqrt(5 / 6)
    found = np.quantile(widened(2.0 + plain, 2.0, 6, np.inf), [0.025, 0.5, 0.9, 0.975])
    np.testing.assert_allclose(found, 2.0 + stats.t(5).ppf([0.025, 0.5, 0.9, 0.975]), atol=0.04)


def test_few_effective_episodes_widen_the_tails() -> None:
    """Of 600 episodes four that count: t with 3 degrees of freedom; of less than two, t with 1 and no wider."""
    plain = np.random.default_rng(0).standard_normal(200_000)
    for effective, freedom in ((4.0, 3), (1.1, 1)):
        found = np.quantile(widened(plain, 0.0, 600, effective), [0.1, 0.9])
        np.testing.assert_allclose(found, stats.t(freedom).ppf([0.1, 0.9]), rtol=0.03)
    values = np.random.default_rng(1).standard_normal(600)
    assert estimate("mean", values, effective=3.0).high > 1.8 * estimate("mean", values).high
    assert difference("gain", values, 0 * values, effective=3.0) == estimate("gain", values, effective=3.0)


def test_an_estimate_of_normal_values_is_the_textbooks_interval() -> None:
    """Mean of 12 values by Student's t, to the bootstrap's own coarseness; a wider level is wider."""
    values = np.random.default_rng(3).normal(5.0, 2.0, 12)
    found = estimate("mean", values)
    low, high = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(low, abs=0.15)
    assert found.high == pytest.approx(high, abs=0.15)
    assert found.least == pytest.approx(stats.t(11, values.mean(), stats.sem(values)).ppf(0.05), abs=0.15)
    assert found.low + 0.1 < found.least < found.value
    assert estimate("mean", values, level=0.5).high < found.high
    assert found == estimate("mean", values)
    assert found.draws is not None
    assert found.draws.shape == (4000,)


def test_nothing_bounds_an_estimate_from_one_episode_or_of_no_number() -> None:
    for values in (np.asarray([3.0]), np.asarray([1.0, np.inf]), np.asarray([1.0, np.nan])):
        found = estimate("mean", values)
        assert (found.low, found.least, found.high) == (-np.inf, -np.inf, np.inf)
        assert found.draws is None


def test_differences_are_paired() -> None:
    """A constant gain over a baseline that varies widely is known exactly; unpaired it would not be."""
    baseline = np.random.default_rng(0).normal(0.0, 100.0, 40)
    found = difference("gain", baseline + 2.0, baseline)
    assert found.value == pytest.approx(2.0)
    assert found.high - found.low < 1e-9
    assert estimate("alone", baseline + 2.0).high > 20.0
    members = np.stack([baseline + 1.0, baseline + 3.0])
    assert difference("gain", members, members - 0.5).low == pytest.approx(0.5)


def simulated(rng: np.random.Generator, episodes: int, folds: int, members: int, skewed: bool) -> tuple:
    """(values [R, E], fold) of a linear estimator of 0: what each member learnt, and each first observation."""
    fold = assign_folds(episodes, folds, int(rng.integers(1 << 30)))
    counts = bootstrap_outside(fold, members, int(rng.integers(1 << 30)))
    influence = rng.exponential(size=episodes) - 1.0 if skewed else rng.standard_normal(episodes)
    learnt = counts @ influence / counts.sum(axis=1)
    return by_those_outside(learnt[:, None] + 0.7 * rng.standard_normal(episodes), fold), fold


@pytest.mark.parametrize(("episodes", "folds", "members"), [(18, 2, 4), (18, 3, 3), (60, 1, 5), (200, 2, 3)])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    episodes: int, folds: int, members: int, skewed: bool
) -> None:
    """400 linear estimates of 0: 95% intervals cover between 90% and 99%; halving them would not."""
    rng = np.random.default_rng(episodes + folds)
    found = [
        estimate("linear", values, fold, draws=bootstrap_draws(values.mean(axis=0), 500, seed=i), seed=i)
        for i, (values, fold) in enumerate(simulated(rng, episodes, folds, members, skewed) for _ in range(400))
    ]
    covered = np.mean([x.low <= 0.0 <= x.high for x in found])
    assert 0.90 <= covered <= 0.99
    halved = np.mean([(x.low + x.value) / 2 <= 0.0 <= (x.high + x.value) / 2 for x in found])
    assert halved < 0.85
