"""MOReL's pessimistic MDP (arXiv:2005.05951): exact identities and bounds, with the HALT our `halt` makes."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tabular_mdp import (
    Tables,
    deterministic_policies,
    occupancy,
    one_hot,
    random_policy,
    random_transition,
    read,
    tables,
    tabular_act,
    tabular_step,
    value,
)

from orl.mdp.halt import HaltParams, absorbing_value, halt
from orl.mdp.rollout import rollout

DISCOUNT = 0.9
S, A = 5, 2


def pessimistic(
    model: Tables, threshold: float, halt_value: float, *, bootstrapped: bool = True, discount: float = DISCOUNT
) -> Tables:
    """The pessimistic MDP as our code makes it: rewards and ends of every (s, a)."""
    step = halt(tabular_step, discount, bootstrapped=bootstrapped)
    return read(step, HaltParams(model, threshold, halt_value), model)


def with_halt_state(model: Tables, unknown: np.ndarray, kappa: float) -> Tables:
    """Definition 2 written out: a further state HALT that pays -kappa for ever, behind every unknown pair."""
    states, actions = model.reward.shape
    transition, reward = np.zeros((states + 1, actions, states + 1)), np.full((states + 1, actions), -kappa)
    transition[:states, :, :states] = model.transition * ~unknown[..., None]
    transition[:states, :, states] = unknown
    transition[states, :, states] = 1.0
    reward[:states] = model.reward
    return tables(transition, reward)


def random_mdp(seed: int, low: float = -1.0) -> tuple[Tables, np.ndarray, list[np.ndarray]]:
    """A model with about a third of its pairs unknown (uncertainty above 0.65), a start and policies."""
    rng = np.random.default_rng(seed)
    model = tables(random_transition(rng, S, A), rng.uniform(low, 1, (S, A)), rng.random((S, A)))
    return model, rng.dirichlet(np.ones(S)), [random_policy(rng, S, A) for _ in range(4)]


@pytest.mark.parametrize("seed", range(20))
def test_the_exact_cost_of_halting(seed: int) -> None:
    """R3: with the true transitions, J_p = J - E[gamma^{T_U + 1} (V(s_{T_U + 1}) + kappa / (1 - gamma))]."""
    model, start, policies = random_mdp(seed)
    kappa, unknown = 1.0, model.uncertainty > 0.65
    mdp = pessimistic(model, 0.65, absorbing_value(kappa, DISCOUNT))
    for policy in policies:
        v = value(model, policy, DISCOUNT)
        lost = DISCOUNT * unknown * (model.transition @ v + kappa / (1 - DISCOUNT))
        cost = value(Tables(model.transition, lost, model.uncertainty, unknown), policy, DISCOUNT)
        assert start @ value(mdp, policy, DISCOUNT) == pytest.approx(start @ (v - cost), abs=1e-11)


@pytest.mark.parametrize("seed", range(20))
def test_an_end_that_carries_halts_value_is_the_absorbing_state(seed: int) -> None:
    """R4: an end with r + gamma (-kappa / (1 - gamma)) is worth the explicit HALT state; a one-off -kappa is not."""
    model, _, policies = random_mdp(seed)
    unknown = model.uncertainty > 0.65
    for kappa in (0.0, 1.0, 7.0):
        ours = pessimistic(model, 0.65, absorbing_value(kappa, DISCOUNT))
        plain = pessimistic(model, 0.65, -kappa, bootstrapped=False)
        paper = with_halt_state(model, unknown, kappa)
        for policy in policies:
            expected = value(paper, np.concatenate([policy, policy[:1]]), DISCOUNT)[:-1]
            np.testing.assert_allclose(value(ours, policy, DISCOUNT), expected, atol=1e-10)
            assert np.abs(value(plain, policy, DISCOUNT) - expected).max() > 0.01


def test_the_one_off_equivalent() -> None:
    """R4: with one reward r for all pairs, the plain form agrees at exactly r - gamma kappa / (1 - gamma)."""
    model, _, policies = random_mdp(0)
    model = model._replace(reward=np.full((S, A), 0.25))
    kappa = 2.0
    ours = pessimistic(model, 0.65, absorbing_value(kappa, DISCOUNT))
    plain = pessimistic(model, 0.65, 0.25 - DISCOUNT * kappa / (1 - DISCOUNT), bootstrapped=False)
    for policy in policies:
        np.testing.assert_allclose(value(plain, policy, DISCOUNT), value(ours, policy, DISCOUNT), atol=1e-12)


def test_kappa_zero_is_optimistic_where_rewards_are_negative() -> None:
    """R4: the official code's 0 is a reward for leaving the data; kappa = R_max is pessimistic for every policy."""
    for seed in range(10):
        model, start, policies = random_mdp(seed)
        model = model._replace(reward=-np.abs(model.reward))
        free, paid = (pessimistic(model, 0.65, absorbing_value(kappa, DISCOUNT)) for kappa in (0.0, 1.0))
        for policy in policies:
            j = start @ value(model, policy, DISCOUNT)
            assert start @ value(free, policy, DISCOUNT) > j
            assert start @ value(paid, policy, DISCOUNT) < j


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_threshold_approaches_the_bare_model_from_below(seed: int) -> None:
    """R6: J rises with the threshold up to the bare model's, from an MDP in which every step ends."""
    model, start, policies = random_mdp(seed)
    worst = absorbing_value(1.0, DISCOUNT)
    for policy in policies:
        grid = [pessimistic(model, t, worst) for t in (-1.0, 0.2, 0.4, 0.6, 0.8, 1.0, np.inf)]
        returns = [start @ value(mdp, policy, DISCOUNT) for mdp in grid]
        assert np.all(np.diff(returns) >= -1e-12)
        assert returns[-1] == returns[-2] == start @ value(model, policy, DISCOUNT)
        expected = start @ np.sum(policy * model.reward, axis=1) + DISCOUNT * worst
        assert returns[0] == pytest.approx(expected)
    assert np.all(grid[0].ends == 1)


def test_it_halts_at_the_pair_not_at_what_follows() -> None:
    """Chain 0 -> 1 -> 2 -> 0 whose pair at 1 is unknown: from 0 two live steps, rewards 0 and 1 - 9, none from 2."""
    chain = tables(np.eye(3)[[[1], [2], [0]]], np.asarray([[0.0], [1.0], [2.0]]), np.asarray([[0.0], [1.0], [0.0]]))
    params = HaltParams(chain, 0.5, absorbing_value(1.0, DISCOUNT))
    step = halt(tabular_step, DISCOUNT, bootstrapped=True)
    result = rollout(step, tabular_act, params, np.ones((3, 1)), jax.random.key(0), one_hot(np.asarray([0, 2]), 3), 5)
    np.testing.assert_array_equal(result.alive.T, [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    np.testing.assert_allclose(result.steps.reward[:2, 0], [0.0, 1.0 - 9.0])
    np.testing.assert_allclose(result.steps.reward[:3, 1], [2.0, 0.0, 1.0 - 9.0])
    np.testing.assert_array_equal(result.steps.terminated[:2, 0], [0.0, 1.0])


@pytest.mark.parametrize("seed", range(40))
def test_the_pessimistic_return_is_bounded_on_both_sides(seed: int) -> None:
    """R1: |J_p - J| within the start's and the model's error, below also by 2 R / (1 - gamma) E[gamma^T_U].

    And R2 over all deterministic policies: the best policy of the pessimistic MDP loses at most both bounds.
    """
    rng = np.random.default_rng(seed)
    truth, other = random_transition(rng, 4, A), random_transition(rng, 4, A)
    guess = truth + rng.uniform(0, 0.3, (4, A, 1)) ** 2 * (other - truth)
    variation = 0.5 * np.abs(truth - guess).sum(axis=-1)
    threshold = np.quantile(variation, 0.7)
    reward = rng.uniform(-1, 1, (4, A))
    real, learned = tables(truth, reward), tables(guess, reward, variation)
    start, start_hat = rng.dirichlet(np.ones(4), size=2)
    start_hat = 0.9 * start + 0.1 * start_hat
    mdp = pessimistic(learned, threshold, absorbing_value(1.0, DISCOUNT))
    unknown = variation > threshold
    assert 0 < unknown.sum() < unknown.size
    alpha = variation[~unknown].max()
    slack = (np.abs(start - start_hat).sum() + 2 * DISCOUNT / (1 - DISCOUNT) * alpha) / (1 - DISCOUNT)
    true, pessimist, floor = [], [], []
    for policy in deterministic_policies(4, A):
        first = value(Tables(truth, unknown * 1.0, variation, unknown), policy, DISCOUNT)  # E[gamma^T_U] by state
        true.append(start @ value(real, policy, DISCOUNT))
        pessimist.append(start_hat @ value(mdp, policy, DISCOUNT))
        floor.append(true[-1] - slack - 2 / (1 - DISCOUNT) * (start @ first))
        assert pessimist[-1] <= true[-1] + slack
        assert pessimist[-1] >= floor[-1]
    assert true[int(np.argmax(pessimist))] >= max(floor) - slack


def test_the_occupancy_helper_agrees_with_the_value_helper() -> None:
    """sum rho r = start . V with and without ends: the two linear solves check each other."""
    model, start, policies = random_mdp(1)
    for mdp in (model, pessimistic(model, 0.65, -3.0)):
        for policy in policies:
            by_visits = np.sum(occupancy(mdp, policy, DISCOUNT, start) * mdp.reward)
            assert by_visits == pytest.approx(start @ value(mdp, policy, DISCOUNT), abs=1e-12)
