"""Doubly robust estimates: what is exact when only one of Q and weights is, by enumeration of all episodes."""

from __future__ import annotations

import numpy as np
import pytest
from tabular_logs import Mdp, all_trajectories, exact_q, exact_value, random_mdp, sample_log

from orl.evaluation.ope.doubly_robust import doubly_robust, weighted_doubly_robust, weighted_shares
from orl.evaluation.ope.importance import (
    cumulative_log_weights,
    per_decision,
    weighted_per_decision,
)

DISCOUNT, STEPS = 0.8, 3
BEHAVIOUR, TARGET = np.asarray([[0.7, 0.3], [0.4, 0.6]]), np.asarray([[0.2, 0.8], [0.9, 0.1]])
MODE = np.asarray([[0.0, 1.0], [1.0, 0.0]])


def ending_mdp(seed: int) -> Mdp:
    """Two states, two actions; one pair surely ends."""
    return random_mdp(seed, 2, 2)._replace(ends=np.asarray([[0.0, 1], [0, 0]]))


def within(mdp: Mdp, policy: np.ndarray, last: np.ndarray) -> float:
    """Value of the policy over three steps and of `last` [S] behind them where it has not ended, by recursion."""
    ahead = last
    for _ in range(STEPS):
        q = mdp.reward + DISCOUNT * (1 - mdp.ends) * (mdp.transition @ ahead)
        ahead = np.sum(policy * q, axis=1)
    return float(mdp.start @ ahead)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", [TARGET, MODE])
def test_with_the_exact_q_weights_may_be_wrong(seed: int, target: np.ndarray) -> None:
    """Random weights of step, state and action, also those of a policy that is smoothed while V is its mode's: no bias.
    With a Q that is wrong as well there is one.
    """
    mdp = ending_mdp(seed)
    episodes, tables, chance = all_trajectories(mdp, BEHAVIOUR, STEPS)
    q = exact_q(mdp, target, DISCOUNT)
    v = np.sum(target * q, axis=1)
    wrong = np.random.default_rng(seed).normal(size=(STEPS, 2, 2))[tables.step, tables.state, tables.action]
    parts = q[tables.state, tables.action], v[tables.state], v[tables.after[episodes.last]]
    truth = exact_value(mdp, target, DISCOUNT)
    # rewards pass through single precision
    assert chance @ doubly_robust(wrong, *parts, episodes, DISCOUNT)[0] == pytest.approx(truth, abs=1e-6)
    smoothed = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    assert chance @ doubly_robust(smoothed, *parts, episodes, DISCOUNT)[0] == pytest.approx(truth, abs=1e-6)
    spoilt = (parts[0] + tables.action, parts[1], parts[2])
    assert abs(chance @ doubly_robust(wrong, *spoilt, episodes, DISCOUNT)[0] - truth) > 0.05


@pytest.mark.parametrize("seed", range(5))
def test_with_exact_weights_q_may_be_wrong(seed: int) -> None:
    """A random Q and its V under the target: no bias against the value over the steps seen, and V of what is beyond."""
    mdp = ending_mdp(seed)
    episodes, tables, chance = all_trajectories(mdp, BEHAVIOUR, STEPS)
    q = np.random.default_rng(seed).normal(size=(2, 2))
    v = np.sum(TARGET * q, axis=1)
    parts = q[tables.state, tables.action], v[tables.state], v[tables.after[episodes.last]]
    ratio = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    truth = within(mdp, TARGET, v)
    assert chance @ doubly_robust(ratio, *parts, episodes, DISCOUNT)[0] == pytest.approx(truth, abs=1e-6)
    assert abs(chance @ doubly_robust(0 * ratio, *parts, episodes, DISCOUNT)[0] - truth) > 1e-3


def test_the_recursion_is_the_sum_over_steps() -> None:
    """Against sum_t discount^t (w_t (r_t - Q_t) + w_{t-1} V_t) + discount^L w_{L-1} V_L, episode by episode."""
    mdp = random_mdp(1, 2, 2, ends=0.2)
    episodes, tables = sample_log(mdp, BEHAVIOUR, 20, 6, 0)
    rng = np.random.default_rng(0)
    ratio, q, v = rng.normal(size=(3, len(tables.state)))
    final = rng.normal(size=20)
    found = doubly_robust(ratio, q, v, final, episodes, DISCOUNT)
    assert found.shape == (1, 20)
    assert 0 < episodes.cut.sum() < 20
    for e in range(20):
        rows = episodes.starts[e] + np.arange(episodes.lengths[e])
        w = np.exp(np.cumsum(ratio[rows]))
        before = np.append(1.0, w[:-1])
        gamma = DISCOUNT ** np.arange(len(rows))
        expected = np.sum(gamma * (w * (episodes.reward[rows] - q[rows]) + before * v[rows]))
        if episodes.cut[e]:
            expected += DISCOUNT ** len(rows) * w[-1] * final[e]
        assert found[0, e] == pytest.approx(expected)


def test_without_a_q_what_is_left_is_importance_sampling() -> None:
    episodes, tables = sample_log(random_mdp(1, 2, 2, ends=0.2), BEHAVIOUR, 20, 6, 0)
    ratio = np.log(TARGET / BEHAVIOUR)[tables.state, tables.action]
    weights, nothing, none = cumulative_log_weights(ratio, episodes), np.zeros(len(ratio)), np.zeros(20)
    np.testing.assert_allclose(
        doubly_robust(ratio, nothing, nothing, none, episodes, DISCOUNT)[0],
        per_decision(weights, episodes.reward, episodes, DISCOUNT),
    )
    np.testing.assert_allclose(
        weighted_doubly_robust(weights, nothing, nothing, none, episodes, DISCOUNT),
        weighted_per_decision(weights, episodes.reward, episodes, DISCOUNT),
    )


def test_the_weighted_estimate_against_loops() -> None:
    """Two members; weights normalised over episodes at each step, of those that are over as they last were."""
    episodes, tables = sample_log(random_mdp(1, 2, 2, ends=0.2), BEHAVIOUR, 8, 5, 3)
    rng = np.random.default_rng(0)
    count, longest = len(tables.state), int(episodes.lengths.max())
    ratio, final = rng.normal(size=count), rng.normal(size=(2, 8))
    q, v = rng.normal(size=(2, 2, count))
    weights = np.zeros((8, longest))
    for e in range(8):
        for t in range(longest):
            first = episodes.starts[e]
            weights[e, t] = np.exp(ratio[first : first + min(t + 1, episodes.lengths[e])].sum())
    now = weights / weights.sum(axis=0)
    before = np.concatenate([np.full((8, 1), 1 / 8), now[:, :-1]], axis=1)
    expected = np.zeros(2)
    for m in range(2):
        for e in range(8):
            for t in range(int(episodes.lengths[e])):
                row = episodes.starts[e] + t
                expected[m] += DISCOUNT**t * (now[e, t] * (episodes.reward[row] - q[m, row]) + before[e, t] * v[m, row])
            if episodes.cut[e]:
                length = int(episodes.lengths[e])
                expected[m] += DISCOUNT**length * now[e, length - 1] * final[m, e]
    logs = cumulative_log_weights(ratio, episodes)
    shares = weighted_shares(logs, q, v, final, episodes, DISCOUNT)
    assert shares.shape == (2, 8)
    np.testing.assert_allclose(shares.mean(axis=1), expected)
    for m in range(2):
        found = weighted_doubly_robust(logs, q[m], v[m], final[m], episodes, DISCOUNT)
        np.testing.assert_allclose(found, expected[m : m + 1])


def test_in_a_world_without_chance_the_exact_q_is_all_it_takes() -> None:
    """Sure transitions, no noise: the weighted estimate is the mean of V in the first states, whatever the weights."""
    rng = np.random.default_rng(0)
    mdp = random_mdp(0, 4, 2, ends=0.0, noise=0.0)._replace(
        transition=np.eye(4)[rng.integers(0, 4, (4, 2))], ends=np.asarray([[0, 1.0], [0, 0], [0, 0], [0, 0]])
    )
    policy = np.eye(2)[[0, 1, 1, 0]]
    episodes, tables = sample_log(mdp, np.full((4, 2), 0.5), 15, 5, 1)
    q = exact_q(mdp, policy, DISCOUNT)
    v = np.sum(policy * q, axis=1)
    logs = cumulative_log_weights(rng.normal(size=len(tables.state)), episodes)
    parts = q[tables.state, tables.action], v[tables.state], v[tables.after[episodes.last]]
    found = weighted_doubly_robust(logs, *parts, episodes, DISCOUNT)
    first = v[tables.state[episodes.starts]]
    assert found[0] == pytest.approx(first.mean(), abs=1e-6)
    assert 0 < episodes.cut.sum() < 15
    counts = rng.multinomial(15, np.full(15, 1 / 15), size=4)
    drawn = weighted_doubly_robust(logs, *parts, episodes, DISCOUNT, counts)
    np.testing.assert_allclose(drawn, counts @ first / 15, atol=1e-6)


def test_weights_beyond_floats_are_said_to_be() -> None:
    """The plain estimate is no number then; the weighted one is unmoved by the units of its weights."""
    episodes, tables = sample_log(random_mdp(1, 2, 2), BEHAVIOUR, 6, 4, 0)
    q, v, final = np.ones(len(tables.state)), np.ones(len(tables.state)), np.ones(6)
    assert not np.any(np.isfinite(doubly_robust(q + 999.0, q, v, final, episodes, DISCOUNT)))
    even = weighted_doubly_robust(np.zeros((6, 4)), q, v, final, episodes, DISCOUNT)
    np.testing.assert_allclose(weighted_doubly_robust(np.full((6, 4), 3e3), q, v, final, episodes, DISCOUNT), even)
