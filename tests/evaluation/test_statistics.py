"""Statistics against numbers worked by hand, against SciPy, and by how often intervals hold the truth."""

import numpy as np
import pytest
from scipy import stats

from orl.data.episodes import Reference
from orl.errors import UsageError
from orl.evaluation.statistics import (
    improvement_ci,
    iqm,
    probability_of_improvement,
    stratified_bootstrap_ci,
    summarise,
)


def test_iqm_of_numbers_worked_by_hand():
    assert iqm([8, 1, 7, 2, 3, 100, 4, -50]) == 4.0  # two dropped at each end: (2 + 3 + 4 + 7) / 4
    assert iqm([5, 1, 9]) == 5.0  # a quarter of 3 rounds down to none
    assert iqm([0, 10, 20, 90]) == 15.0
    assert iqm(7.0) == 7.0


@pytest.mark.parametrize("shape", [(1,), (4,), (5,), (6,), (7,), (10,), (3, 5), (10, 3)])
def test_iqm_is_scipys_trimmed_mean(shape):
    scores = np.random.default_rng(len(shape) + shape[0]).normal(size=shape)
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), rel=1e-14)


def test_iqm_does_not_trim_nan_away():
    assert np.isnan(iqm([1.0, 2.0, 3.0, np.nan]))
    assert iqm([1.0, 2.0, 3.0, np.inf]) == 2.5


def test_bootstrap_of_two_runs_has_the_known_quantiles():
    # Means of two draws from {0, 1}: 0 and 1 with probability 1/4 each, so a 60% interval spans 0 to 1 ...
    assert stratified_bootstrap_ci([0.0, 1.0], np.mean, level=0.6) == (0.0, 1.0)
    # ... and a 40% interval, from quantile 0.3 to 0.7, is the point 0.5.
    assert stratified_bootstrap_ci([0.0, 1.0], np.mean, level=0.4) == (0.5, 0.5)


def test_bootstrap_interval_agrees_with_scipy():
    scores = np.random.default_rng(0).normal(50, 10, 30)
    low, high = stratified_bootstrap_ci(scores, np.mean, resamples=4000)
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.3)
    assert high == pytest.approx(theirs.high, abs=0.3)


def test_bootstrap_never_mixes_tasks():
    scores = np.array([[0.0, 100.0, 7.0]] * 4)
    assert stratified_bootstrap_ci(scores, lambda s: s[:, 1].mean() - s[:, 0].mean()) == (100.0, 100.0)


def test_bootstrap_redraws_each_task_on_its_own():
    # Task 2 is minus task 1: whole rows redrawn together would always sum to zero.
    column = np.arange(8.0)
    low, high = stratified_bootstrap_ci(np.stack([column, -column], axis=1), np.mean)
    # The mean of 16 independent draws, each of variance 5.25: a standard error of 0.573.
    assert low == pytest.approx(-1.96 * 0.573, abs=0.12)
    assert high == pytest.approx(1.96 * 0.573, abs=0.12)


def test_bootstrap_repeats_with_its_seed_and_leaves_the_global_generator_alone():
    scores = np.random.default_rng(3).normal(size=10)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (stratified_bootstrap_ci(scores, iqm, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first != other
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_ninety_five_percent_intervals_hold_the_true_mean_about_that_often():
    rng = np.random.default_rng(7)
    hits = []
    for i in range(400):
        low, high = stratified_bootstrap_ci(rng.normal(3.0, 2.0, 50), np.mean, resamples=400, seed=i)
        hits.append(low <= 3.0 <= high)
    # The percentile bootstrap of 50 normal runs covers about 94%; 400 trials have a standard error of 1.2%.
    assert 0.91 <= np.mean(hits) <= 0.975


@pytest.mark.parametrize("bad", [{"level": 1.0}, {"level": 0.0}, {"resamples": 0}])
def test_bootstrap_refuses_settings_out_of_range(bad):
    with pytest.raises(UsageError, match="bootstrap wants 0 < level < 1"):
        stratified_bootstrap_ci([1.0, 2.0], np.mean, **bad)
    with pytest.raises(UsageError, match="no scores"):
        stratified_bootstrap_ci(np.zeros((0, 3)), np.mean)
    with pytest.raises(UsageError, match=r"got shape \(2, 2, 2\)"):
        stratified_bootstrap_ci(np.zeros((2, 2, 2)), np.mean)


def test_summary_over_seeds_worked_by_hand():
    reference = Reference(min=100.0, max=300.0, source="made up")
    returns = [[100.0, 300.0], [300.0, 300.0], [100.0, 100.0], [200.0, 300.0]]
    got = summarise(returns, reference)
    assert got.per_seed == (50.0, 100.0, 0.0, 75.0)
    assert got.mean == 56.25
    assert got.iqm == 62.5  # (50 + 75) / 2
    assert got.ci_over == "seeds"
    assert got.ci95 == stratified_bootstrap_ci([50.0, 100.0, 0.0, 75.0], iqm)
    assert got.ci95[0] < 40.0
    assert got.ci95[1] > 80.0


def test_summary_of_one_seed_takes_its_interval_over_episodes():
    returns = np.random.default_rng(0).normal(10.0, 2.0, (1, 100))
    got = summarise(returns)
    assert got.ci_over == "episodes"
    assert got.per_seed == (pytest.approx(returns.mean()),)
    assert got.iqm == got.mean == got.per_seed[0]
    half = 1.96 * returns.std() / 10.0
    assert got.ci95 == pytest.approx((got.mean - half, got.mean + half), abs=0.06)


def test_summary_of_one_episode_claims_no_interval():
    got = summarise([[5.0]])
    assert got == (5.0, 5.0, None, (5.0,), "episodes")


def test_summary_keeps_a_nan_return_visible():
    got = summarise([[1.0, np.nan], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]])
    assert np.isnan([got.mean, got.iqm, *got.ci95]).all()


def test_summary_refuses_other_shapes():
    with pytest.raises(UsageError, match=r"\[seeds, episodes\], got shape \(3,\)"):
        summarise([1.0, 2.0, 3.0])


def test_probability_of_improvement_worked_by_hand():
    assert probability_of_improvement([2.0, 4.0], [1.0, 2.0, 3.0, 4.0]) == 0.625  # 1.5 + 3.5 of 8 pairs
    assert probability_of_improvement([1.0, 1.0], [1.0]) == 0.5
    two_tasks = probability_of_improvement([[2.0, 0.0], [2.0, 0.0]], [[1.0, 1.0]])
    assert two_tasks == 0.5
    assert np.isnan(probability_of_improvement([np.nan], [1.0]))


def test_probability_of_improvement_is_mann_whitney_u():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 6, 9).astype(float), rng.integers(0, 5, 7).astype(float)
    assert probability_of_improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / 63)


def test_probability_of_improvement_refuses_different_tasks():
    with pytest.raises(UsageError, match=r"\(2, 3\) and \(2, 2\)"):
        probability_of_improvement(np.zeros((2, 3)), np.zeros((2, 2)))


@pytest.mark.parametrize(("x", "y"), [([0.0, 1.0], [0.5]), ([0.5], [1.0, 0.0])])
def test_interval_of_the_probability_of_improvement_has_the_known_quantiles(x, y):
    """Redrawing {0, 1} gives P = 0, 1/2, 1 with odds 1:2:1, whichever side it is."""
    assert improvement_ci(x, y, level=0.40) == (0.5, 0.5)  # the 30% and 70% quantiles
    assert improvement_ci(x, y, level=0.60) == (0.0, 1.0)  # the 20% and 80% quantiles
    assert improvement_ci([2.0, 3.0], [0.0, 1.0]) == (1.0, 1.0)  # every run beats every run
    assert improvement_ci([1.0, 1.0], [1.0]) == (0.5, 0.5)  # ties
    assert improvement_ci(x, y, level=0.40, seed=3) == improvement_ci(x, y, level=0.40, seed=3)


def test_intervals_of_the_probability_of_improvement_hold_the_true_one_about_that_often():
    rng, truth = np.random.default_rng(11), stats.norm.cdf(0.5 / np.sqrt(2.0))
    held = 0
    for _ in range(200):
        low, high = improvement_ci(rng.normal(0.5, 1.0, 30), rng.normal(0.0, 1.0, 30), resamples=200)
        held += low <= truth <= high
    assert 0.89 <= held / 200 <= 0.985  # 95%, three standard errors of 200 to either side, and a little too narrow


@pytest.mark.parametrize("bad", [{"level": 1.0}, {"level": 0.0}, {"resamples": 0}])
def test_interval_of_the_probability_of_improvement_refuses_settings_out_of_range(bad):
    with pytest.raises(UsageError, match="0 < level < 1 and resamples >= 1"):
        improvement_ci([1.0], [2.0], **bad)
    with pytest.raises(UsageError, match="one task"):
        improvement_ci([[1.0]], [[2.0]])
