"""Importance sampling: by enumeration, by hand, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from tabular_logs import Mdp, all_trajectories, exact_value, random_mdp, sample_log

from orl.evaluation.ope.importance import (
    cumulative_log_weights,
    effective_episodes,
    effective_sample_size,
    per_decision,
    weighted_per_decision,
)
from orl.evaluation.ope.types import LoggedEpisodes, logged_episodes
from orl.types import Transition

DISCOUNT = 0.8
BEHAVIOUR, TARGET = np.asarray([[0.7, 0.3], [0.4, 0.6]]), np.asarray([[0.2, 0.8], [0.9, 0.1]])


def ending_mdp(seed: int) -> Mdp:
    """Two states, two actions; one pair surely ends."""
    return random_mdp(seed, 2, 2)._replace(ends=np.asarray([[0.0, 1], [0, 0]]))


def uneven() -> LoggedEpisodes:
    """Rewards 1 2 4 | 8: the first is cut off, the second ended."""
    zeros = np.zeros((4, 1), np.float32)
    rows = Transition(zeros, zeros, np.asarray([1, 2, 4, 8], np.float32), zeros, np.asarray([0, 0, 0, 1], np.float32))
    return logged_episodes(rows, np.asarray([0, 3]))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_per_decision_has_no_bias(seed: int) -> None:
    """Over all episodes of three steps, by their probability: the target's value over three steps and what it is
    worth beyond, which only the exact value of the final observation makes the whole value.
    """
    mdp = ending_mdp(seed)
    episodes, tables, chance = all_trajectories(mdp, BEHAVIOUR, 3)
    assert chance.sum() == pytest.approx(1.0)
    ratio = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    at_end = tables.after[episodes.last]
    beyond = np.asarray([exact_value(mdp._replace(start=np.eye(2)[s]), TARGET, DISCOUNT) for s in at_end])
    weights = cumulative_log_weights(ratio, episodes)
    found = per_decision(weights, episodes.completed_reward(DISCOUNT, beyond), episodes, DISCOUNT)
    assert chance @ found == pytest.approx(exact_value(mdp, TARGET, DISCOUNT), abs=1e-6)
    bare = per_decision(weights, episodes.reward, episodes, DISCOUNT)
    assert chance @ bare == pytest.approx(
        chance @ found - chance @ (np.exp(weights[:, -1]) * DISCOUNT**3 * beyond * episodes.cut), abs=1e-6
    )
    assert abs(chance @ episodes.returns(DISCOUNT) - chance @ bare) > 0.01  # the behaviour's own value is another


def test_weighted_per_decision_against_loops() -> None:
    """Episodes of different lengths; one that is over keeps its weight, and earns nothing."""
    episodes, tables = sample_log(random_mdp(1, 2, 2, ends=0.2), BEHAVIOUR, 12, 6, 0)
    assert len(np.unique(episodes.lengths)) > 2
    ratio = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    expected = 0.0
    for t in range(int(episodes.lengths.max())):
        total = earned = 0.0
        for e in range(12):
            rows = episodes.starts[e] + np.arange(min(t + 1, episodes.lengths[e]))
            weight = np.exp(ratio[rows].sum())
            total += weight
            earned += weight * episodes.reward[rows[-1]] if t < episodes.lengths[e] else 0.0
        expected += DISCOUNT**t * earned / total
    weights = cumulative_log_weights(ratio, episodes)
    found = weighted_per_decision(weights, episodes.reward, episodes, DISCOUNT)
    assert found.shape == (1,)
    assert found[0] == pytest.approx(expected)
    counts = np.ones((1, 12), np.int64)
    assert weighted_per_decision(weights, episodes.reward, episodes, DISCOUNT, counts)[0] == pytest.approx(expected)


def test_a_draw_is_the_estimate_of_the_episodes_it_holds() -> None:
    """Twice the first and once the third, against the estimate from a log of just these."""
    episodes, tables = sample_log(random_mdp(1, 2, 2), BEHAVIOUR, 3, 4, 0)
    ratio = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    counts = np.asarray([[2, 0, 1]])
    found = weighted_per_decision(cumulative_log_weights(ratio, episodes), episodes.reward, episodes, DISCOUNT, counts)
    rows = np.concatenate([np.flatnonzero(episodes.of_row == e) for e in (0, 0, 2)])
    held = Transition(*(np.asarray(x)[rows] for x in episodes.rows))
    lengths = episodes.lengths[[0, 0, 2]]
    copied = logged_episodes(held, np.concatenate([[0], np.cumsum(lengths)[:-1]]))  # type: ignore[arg-type]
    again = weighted_per_decision(cumulative_log_weights(ratio[rows], copied), copied.reward, copied, DISCOUNT)
    assert found[0] == pytest.approx(again[0])


def test_weights_by_hand() -> None:
    """Ratios 2, 3, 1/2 | 5: weights 2, 6, 3 and 5, 5, 5; at 1/2 1*2 + 2*6/2 + 4*3/4 = 11 and 8*5 = 40."""
    episodes = uneven()
    weights = cumulative_log_weights(np.log([2, 3, 0.5, 5]), episodes)
    np.testing.assert_allclose(np.exp(weights), [[2, 6, 3], [5, 5, 5]])
    np.testing.assert_allclose(per_decision(weights, episodes.reward, episodes, 0.5), [11, 40])
    weighted = weighted_per_decision(weights, episodes.reward, episodes, 0.5)
    np.testing.assert_allclose(weighted, (1 * 2 + 8 * 5) / 7 + (2 * 6) / 11 / 2 + (4 * 3) / 8 / 4)


def test_effective_sample_size_by_hand() -> None:
    """Of weights 1 1 it is 2, of 3 1 it is 16 / 10, of one that dwarfs the other 1; units fall out."""
    np.testing.assert_allclose(effective_sample_size(np.log([[1.0, 3, 1e9], [1, 1, 1]])), [2, 1.6, 1])
    np.testing.assert_allclose(effective_sample_size(np.log([3.0, 1]) + 5000.0), 1.6)


def test_effective_episodes_are_half_of_those_at_a_step_that_matters() -> None:
    """At 1/2 the step is 2, at 0.9 it is 13 and so the last, as it is without a discount; few are not halved."""
    weights = np.log([[1.0, 1, 3, 1e9], [1, 1, 1, 1]])
    assert effective_episodes(weights, 0.5) == pytest.approx(1.6)
    assert effective_episodes(weights, 0.9) == pytest.approx(1.0)
    assert effective_episodes(weights, 1.0) == pytest.approx(1.0)
    assert effective_episodes(weights, 0.2) == pytest.approx(2.0)
    for episodes, counted in ((4, 4.0), (8, 6.0), (12, 6.0), (40, 20.0)):
        assert effective_episodes(np.zeros((episodes, 3)), 0.9) == pytest.approx(counted)


def test_what_no_float_holds() -> None:
    """Log weights of 2000 make plain sampling infinite and leave the weighted one as it is; impossible ones are 0,
    and of nothing but those there is no estimate.
    """
    episodes = uneven()
    ratio = np.asarray([2000.0, 0, 0, 2000.0])
    weights = cumulative_log_weights(ratio, episodes)
    assert not np.any(np.isfinite(per_decision(weights, episodes.reward, episodes, 0.5)))
    finite = weighted_per_decision(cumulative_log_weights(0 * ratio, episodes), episodes.reward, episodes, 0.5)
    np.testing.assert_allclose(weighted_per_decision(weights, episodes.reward, episodes, 0.5), finite)
    never = cumulative_log_weights(np.asarray([0.0, -np.inf, 0, 0]), episodes)
    np.testing.assert_allclose(per_decision(never, episodes.reward, episodes, 0.5), [1, 8])
    np.testing.assert_allclose(weighted_per_decision(never, episodes.reward, episodes, 0.5), (1 + 8) / 2)
    neither = cumulative_log_weights(np.asarray([-np.inf, 0, 0, -np.inf]), episodes)
    assert np.isnan(weighted_per_decision(neither, episodes.reward, episodes, 0.5))
    assert np.isnan(effective_sample_size(neither)).all()
