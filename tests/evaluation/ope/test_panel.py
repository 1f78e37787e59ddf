"""Every estimator on one policy: identities where the policy is the behaviour, and effective episodes by hand."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from orl.evaluation.ope.crossfit import CrossFit
from orl.evaluation.ope.intervals import estimate
from orl.evaluation.ope.methods import DOUBLY_ROBUST, FQE, PER_DECISION, WEIGHTED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.panel import (
    behaviour_estimate,
    corrected_q,
    fitted_q,
    importance_sampling,
)
from orl.evaluation.ope.types import LoggedEpisodes, logged_episodes
from orl.types import Transition

DISCOUNT = 0.5
FOLD = np.asarray([0, 1, 0, 1])


@pytest.fixture
def log() -> LoggedEpisodes:
    """Four episodes of two steps that end, with rewards (e, 2): returns e + 1."""
    reward = jnp.asarray([0.0, 2, 1, 2, 2, 2, 3, 2])
    end = jnp.asarray([0.0, 1] * 4)
    zeros = jnp.zeros((8, 1))
    return logged_episodes(Transition(zeros, zeros, reward, zeros, end), np.asarray([0, 2, 4, 6]))


def cross_fit(log: LoggedEpisodes, q: float, v: float) -> CrossFit:
    """Two members that say the same of every row."""
    rows, episodes = len(log.reward), len(log)
    initial, final = np.full((2, episodes), v), np.zeros((2, episodes))
    none = np.zeros((4, rows), np.int64)
    return CrossFit(None, none, FOLD, initial, np.full((2, rows), q), np.full((2, rows), v), final)  # type: ignore[arg-type]


def test_the_behaviour_is_worth_its_mean_return(log: LoggedEpisodes) -> None:
    found = behaviour_estimate(log.returns(DISCOUNT)[None], FOLD)
    assert found.value == pytest.approx(2.5)
    assert found.low < 1.5
    assert found.high > 3.5


def test_a_policy_that_acts_as_logged_is_worth_what_was_logged(log: LoggedEpisodes) -> None:
    """All ratios 1: importance sampling and, with Q = V = 0, its corrections are the returns; nothing is better."""
    baseline, ratio = log.returns(DISCOUNT)[None], np.zeros(8)
    found = importance_sampling(ratio, np.zeros(4), baseline, log, DISCOUNT)
    found += corrected_q(cross_fit(log, 0.0, 0.0), ratio, baseline, log, DISCOUNT)
    assert [each.value.method for each in found] == [WEIGHTED, PER_DECISION, DOUBLY_ROBUST, WEIGHTED_DOUBLY_ROBUST]
    for each in found:
        assert each.value.value == pytest.approx(2.5)
        assert each.value.low < 2.0 < 3.0 < each.value.high
        better = each.improvement
        assert (better.value, better.low, better.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_fitted_q_is_compared_episode_by_episode(log: LoggedEpisodes) -> None:
    """V = 3 everywhere: 0.5 above the behaviour, as uncertain as the behaviour's returns, for V does not vary."""
    found = fitted_q(cross_fit(log, 0.0, 3.0), log.returns(DISCOUNT)[None], {"diverged": 0.0})
    assert found.value.method == FQE
    assert (found.value.value, found.value.low, found.value.high) == pytest.approx((3.0, 3.0, 3.0))
    assert found.value.detail["diverged"] == 0.0
    assert found.improvement.value == pytest.approx(0.5)
    assert found.improvement.low < -0.5
    assert found.improvement.high > 1.5


def test_members_that_differ_widen_fitted_q_and_its_weighted_correction(log: LoggedEpisodes) -> None:
    """Members at V = -1 and 1: how far apart they are widens what they say, directly and corrected."""
    fit, same = cross_fit(log, 0.0, 0.0), cross_fit(log, 0.0, 0.0)
    baseline, ratio = log.returns(DISCOUNT)[None], np.zeros(8)
    for values in (fit.initial, fit.v):
        values[:] = [[-1.0], [1.0]]
    assert fitted_q(fit, baseline, {}).value.high - fitted_q(fit, baseline, {}).value.low > 1.0
    certain = corrected_q(same, ratio, baseline, log, DISCOUNT)[1]
    weighted = corrected_q(fit, ratio, baseline, log, DISCOUNT)[1]
    assert weighted.improvement.value == pytest.approx(0.0)
    assert (certain.improvement.low, certain.improvement.high) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert weighted.improvement.low < -0.5 < 0.5 < weighted.improvement.high
    # V at both steps is worth +-1.5: a variance of 4.5, of which two folds of two members leave 1/2 + 1/4
    assert weighted.value.detail["members_error"] == pytest.approx(np.sqrt(4.5 * 0.75))


def test_estimates_by_weights_say_on_how_many_episodes_they_rest(log: LoggedEpisodes) -> None:
    """Weights at the last step are 1, 1, 0, 0: two episodes. Few episodes make intervals wider than many do."""
    ratio = np.asarray([0.0, 0, 0, 0, 0, -np.inf, 0, -np.inf])
    baseline, fit = log.returns(DISCOUNT)[None], cross_fit(log, 0.0, 0.0)
    found = importance_sampling(ratio, np.zeros(4), baseline, log, DISCOUNT)
    found += corrected_q(fit, ratio, baseline, log, DISCOUNT)
    for each in found:
        assert each.value.detail["effective"] == pytest.approx(2.0)
    values = [1.0, 2, 2, 3]  # what per-decision importance sampling makes of the episodes
    plain = estimate(PER_DECISION, np.asarray(values))
    assert found[1].value.value == pytest.approx(2.0)
    assert found[1].value.high - found[1].value.low > 1.5 * (plain.high - plain.low)
