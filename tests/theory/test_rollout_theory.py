"""Branched rollouts in exact tabular models: where they go, how long they live, and how far off they may be (MBPO)."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import chi2
from tabular_mdp import (
    Tables,
    one_hot,
    random_policy,
    random_transition,
    tables,
    tabular_act,
    tabular_step,
    value,
)

from orl.mdp.rollout import Rollout, model_returns, rollout

S, A, H, ROWS, DISCOUNT = 4, 2, 4, 20_000, 0.9


def roll(model: Tables, policy: np.ndarray, states: np.ndarray) -> Rollout:
    """H steps from the given states."""
    run = jax.jit(lambda s: rollout(tabular_step, tabular_act, model, policy, jax.random.key(11), s, H))
    return run(one_hot(states, S))


def fits(counts: np.ndarray, probability: np.ndarray) -> bool:
    """Pearson's chi-squared test at 1e-4, over the cells that can occur; nothing in the others."""
    possible = probability > 0
    if counts[~possible].any():
        return False
    expected = counts.sum() * probability[possible]
    statistic = np.sum((counts[possible] - expected) ** 2 / expected)
    return bool(statistic < chi2.ppf(1 - 1e-4, possible.sum() - 1))


@pytest.mark.parametrize("seed", [0, 1])
def test_rollouts_follow_the_powers_of_the_transition_matrix(seed: int) -> None:
    """S3: step h from the data's states is at start P^h, with actions pi and next states T; a uniform guess is not."""
    rng = np.random.default_rng(seed)
    model, policy = tables(random_transition(rng, S, A), np.zeros((S, A))), random_policy(rng, S, A)
    at = rng.dirichlet(np.ones(S))
    result = roll(model, policy, rng.choice(S, size=ROWS, p=at))
    assert np.all(result.alive)
    for h in range(H):
        s, a, t = (np.argmax(x[h], axis=-1) for x in (result.steps.obs, result.steps.action, result.steps.next_obs))
        joint = at[:, None, None] * policy[:, :, None] * model.transition
        assert fits(np.bincount((s * A + a) * S + t, minlength=S * A * S), joint.ravel())
        assert not fits(np.bincount(s, minlength=S), np.full(S, 1 / S))
        at = joint.sum(axis=(0, 1))


def test_ended_rows_leave_the_distribution() -> None:
    """S3: with ends the live rows at step h are start (P restricted)^h, in place and in number."""
    rng = np.random.default_rng(2)
    ends = np.asarray([[0, 1], [0, 0], [1, 0], [0, 0]])
    model = tables(random_transition(rng, S, A), np.zeros((S, A)))._replace(ends=ends)
    policy, at = random_policy(rng, S, A), np.full(S, 1 / S)
    result = roll(model, policy, rng.choice(S, size=ROWS, p=at))
    restricted = np.einsum("sa,sa,sat->st", policy, 1 - ends, model.transition)
    for h in range(H):
        alive = np.asarray(result.alive[h])
        s = np.argmax(result.steps.obs[h], axis=-1)
        counts = np.append(np.bincount(s[alive], minlength=S), np.sum(~alive))
        assert fits(counts, np.append(at, (1 - at.sum()).round(12)))
        at = at @ restricted
    ended = np.asarray(result.steps.terminated)
    assert not np.any(np.asarray(result.alive)[1:] & (ended[:-1] > 0))


@pytest.mark.parametrize("seed", range(20))
def test_simulation_lemma(seed: int) -> None:
    """S1: max_s |V - V_hat| <= 2 gamma r_max eps_TV / (1 - gamma)^2, both by linear solves."""
    rng = np.random.default_rng(seed)
    truth, reward = random_transition(rng, S, A), rng.uniform(-1, 1, (S, A))
    guess = 0.8 * truth + 0.2 * random_transition(rng, S, A)
    policy = random_policy(rng, S, A)
    error = 0.5 * np.abs(truth - guess).sum(axis=-1).max()
    gap = np.abs(value(tables(truth, reward), policy, DISCOUNT) - value(tables(guess, reward), policy, DISCOUNT)).max()
    assert 0 < gap <= 2 * DISCOUNT * error / (1 - DISCOUNT) ** 2


def test_model_returns_estimate_the_models_value_state_by_state() -> None:
    """S1's V_hat: 2000 discounted rollouts from every state agree with the linear solve within 4 standard errors,
    with ends among the pairs; a discount off by one step would be out by a tenth."""
    rng = np.random.default_rng(5)
    ends = np.asarray([[0, 0], [0, 1], [0, 0], [0, 0]])
    model = tables(random_transition(rng, S, A), rng.uniform(0.5, 1, (S, A)))._replace(ends=ends)
    policy = random_policy(rng, S, A)
    start = one_hot(np.repeat(np.arange(S), 2000), S)
    run = jax.jit(
        lambda s: model_returns(tabular_step, tabular_act, model, policy, jax.random.key(2), s, 150, DISCOUNT)
    )
    returns = np.asarray(run(start)).reshape(S, 2000)
    exact = value(model, policy, DISCOUNT)
    error = returns.std(axis=1) / np.sqrt(2000)
    assert np.all(np.abs(returns.mean(axis=1) - exact) < 4 * error)
    assert np.all(error < 0.03 * exact)
