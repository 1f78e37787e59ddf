"""COMBO's theory (arXiv:2102.08363) as identities of our own loss on small tables, in float64.

The loss of `objective` is made of the code's functions alone. Exact frequencies enter through weighted rows: a mean
over n rows of n * p * Q is the expectation under p, and one of n * p * (Q - y)^2 comes from rows scaled by sqrt(n p).
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.agents.conservative import expectation_gap
from orl.agents.critic import soft_td_target, td_loss

STATES, ACTIONS, DISCOUNT, SHARE = 4, 2, 0.8, 0.5  # SHARE is f, of logged rows in a batch
PAIRS = STATES * ACTIONS


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class World(NamedTuple):
    """A table MDP: transitions [S, A, S], rewards [S, A], start distribution [S]."""

    transition: np.ndarray
    reward: np.ndarray
    start: np.ndarray


def random_world(rng):
    return World(
        rng.dirichlet(np.ones(STATES), size=(STATES, ACTIONS)),
        rng.uniform(-1, 1, (STATES, ACTIONS)),
        rng.dirichlet(np.ones(STATES)),
    )


def pair_matrix(world, policy):
    """[SA, SA] probability of (s', a') after (s, a)."""
    return (world.transition[..., None] * policy).reshape(PAIRS, PAIRS)


def start_pairs(world, policy):
    return (world.start[:, None] * policy).reshape(-1)


def true_q(world, policy):
    return np.linalg.solve(np.eye(PAIRS) - DISCOUNT * pair_matrix(world, policy), world.reward.reshape(-1))


def true_return(world, policy):
    return start_pairs(world, policy) @ true_q(world, policy)


def occupancy(world, policy):
    """[SA] discounted occupancy, normalised to 1."""
    matrix = np.eye(PAIRS) - DISCOUNT * pair_matrix(world, policy).T
    return (1 - DISCOUNT) * np.linalg.solve(matrix, start_pairs(world, policy))


def objective(q, q_old, *, beta, rho, data, real, model, reward):
    """COMBO's critic loss of a table q [SA]: beta (E_rho Q - E_d Q) + 1/2 E_{d_f}[(Q - y)^2].

    Logged rows have targets under `real` [SA, SA] and model rows under `model`; both have reward r(s, a).
    """
    one = jnp.ones(PAIRS)
    gap = expectation_gap((PAIRS * rho * q)[None], (PAIRS * data * q)[None])

    def rows(matrix, weight):
        y = soft_td_target(reward, 0 * one, (matrix @ q_old)[None], one, discount=DISCOUNT, alpha=0.0)
        scale = jnp.sqrt(2 * PAIRS * weight)
        return scale * q, scale * y

    logged, made = rows(real, SHARE * data), rows(model, (1 - SHARE) * rho)
    values, targets = (jnp.concatenate(parts) for parts in zip(logged, made, strict=True))
    return beta * jnp.sum(gap) + td_loss(values[None], targets)


def minimise(q_old, problem):
    """The minimiser of the (quadratic) objective by one exact Newton step from zero."""
    zero = jnp.zeros(PAIRS)
    grad, hessian = jax.grad(objective)(zero, q_old, **problem), jax.hessian(objective)(zero, q_old, **problem)
    return -jnp.linalg.solve(hessian, grad)


@jax.jit
def fixed_point(problem):
    """Conservative evaluation to convergence: 0.8^200 is below the rounding of float64."""
    return jax.lax.fori_loop(0, 200, lambda _, q: minimise(q, problem), jnp.zeros(PAIRS))


def problem_of(world, model, policy, data, beta):
    """The critic's problem for a policy: rho is its occupancy in the model."""
    parts = {
        "beta": beta,
        "rho": occupancy(model, policy),
        "data": data,
        "real": pair_matrix(world, policy),
        "model": pair_matrix(model, policy),
        "reward": world.reward.reshape(-1),
    }
    return jax.tree.map(jnp.asarray, parts)


def combo_return(world, model, policy, data, beta):
    """E_{mu0, pi}[Q] of the conservative fixed point."""
    return float(start_pairs(world, policy) @ fixed_point(problem_of(world, model, policy, data, beta)))


def random_policy(rng):
    return rng.dirichlet(np.ones(ACTIONS), size=STATES)


def random_data(rng):
    return rng.dirichlet(np.ones(PAIRS))


@pytest.mark.parametrize("beta", [0.0, 0.5, 5.0])
def test_minimiser_is_the_papers_closed_form(beta):
    """C1: Q = BQ_k - beta (rho - d) / d_f. Without the 1/2 of the TD term the correction would be half as large."""
    rng = np.random.default_rng(0)
    world, policy, data, q_old = random_world(rng), random_policy(rng), random_data(rng), rng.normal(size=PAIRS)
    rho = occupancy(world, policy)
    backup = world.reward.reshape(-1) + DISCOUNT * pair_matrix(world, policy) @ q_old
    mixture = SHARE * data + (1 - SHARE) * rho
    want = backup - beta * (rho - data) / mixture
    got = minimise(jnp.asarray(q_old), problem_of(world, world, policy, data, beta))
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_gradient_descent_finds_the_same_minimiser():
    """C1 by first-order steps, as the training does it."""
    rng = np.random.default_rng(1)
    world, policy, data = random_world(rng), random_policy(rng), random_data(rng)
    problem = problem_of(world, world, policy, data, 0.5)
    q_old = jnp.asarray(rng.normal(size=PAIRS))
    rate = 1.0 / float(jnp.max(jax.hessian(objective)(q_old, q_old, **problem)))
    step = jax.jit(lambda _, q: q - rate * jax.grad(objective)(q, q_old, **problem))
    got = jax.lax.fori_loop(0, 20_000, step, jnp.zeros(PAIRS))
    np.testing.assert_allclose(got, minimise(q_old, problem), atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 5.0])
def test_value_is_a_lower_bound_by_exactly_chi_square(beta):
    """C2, exact model: E[Q] = eta - beta / (1 - gamma) * chi^2(rho || d_f) / f, for any logged distribution d."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        world, policy, data = random_world(rng), random_policy(rng), random_data(rng)
        rho = occupancy(world, policy)
        mixture = SHARE * data + (1 - SHARE) * rho
        chi_square = np.sum((rho - mixture) ** 2 / mixture)
        got = combo_return(world, world, policy, data, beta)
        eta = true_return(world, policy)
        assert got == pytest.approx(eta - beta / (1 - DISCOUNT) * chi_square / SHARE, abs=1e-8)
        assert got <= eta + 1e-8


def test_no_penalty_where_the_policy_is_the_logged_one():
    """C2: equality iff rho = d, whatever beta."""
    rng = np.random.default_rng(3)
    world, policy = random_world(rng), random_policy(rng)
    got = fixed_point(problem_of(world, world, policy, occupancy(world, policy), 50.0))
    np.testing.assert_allclose(got, true_q(world, policy), atol=1e-8)


def test_bound_holds_on_average_and_not_at_every_pair():
    """C3: where the log has more mass than the policy, Q is raised above the truth; only the expectation is bounded.

    State 0 is left for good and the log swaps its actions there: (0.9 - 0.1) / 0.5 = 1.6 betas up and down.
    """
    rng = np.random.default_rng(4)
    world = random_world(rng)
    moves = world.transition.copy()
    moves[..., 0] = 0.0
    world = world._replace(transition=moves / moves.sum(axis=-1, keepdims=True))
    policy, beta = np.tile([0.9, 0.1], (STATES, 1)), 2.0
    data = occupancy(world, policy).reshape(STATES, ACTIONS).copy()
    data[0] = data[0, ::-1]
    got = np.asarray(fixed_point(problem_of(world, world, policy, data.reshape(-1), beta)))
    excess = (got - true_q(world, policy)).reshape(STATES, ACTIONS)
    np.testing.assert_allclose(excess[0], [-1.6 * beta, 1.6 * beta], atol=1e-8)
    np.testing.assert_allclose(excess[1:], 0.0, atol=1e-8)
    assert start_pairs(world, policy) @ excess.reshape(-1) == pytest.approx(-1.28 * beta * world.start[0])


def test_wrong_model_needs_a_finite_beta_and_that_is_enough():
    """C4: an optimistic model overestimates at beta = 0; above the bisected beta* the bound holds for good.

    The independent prediction solves the fixed point with the averaged backup, w = f d / d_f from the log.
    """
    rng = np.random.default_rng(5)
    world, policy, data = random_world(rng), random_policy(rng), random_data(rng)
    dream = np.zeros_like(world.transition)
    value = (policy * true_q(world, policy).reshape(STATES, ACTIONS)).sum(axis=1)
    dream[..., np.argmax(value)] = 1.0  # 30% of the time the model jumps to the best state
    model = world._replace(transition=0.7 * world.transition + 0.3 * dream)
    eta = true_return(world, policy)

    def excess(beta):
        return combo_return(world, model, policy, data, beta) - eta

    rho = occupancy(model, policy)
    mixture = SHARE * data + (1 - SHARE) * rho
    share = (SHARE * data / mixture)[:, None]
    averaged = share * pair_matrix(world, policy) + (1 - share) * pair_matrix(model, policy)
    solve = np.linalg.inv(np.eye(PAIRS) - DISCOUNT * averaged)
    bare = start_pairs(world, policy) @ solve @ world.reward.reshape(-1) - eta
    slope = start_pairs(world, policy) @ solve @ ((rho - data) / mixture)
    assert excess(0.0) == pytest.approx(bare, abs=1e-8)
    assert bare > 0.05
    low, high = 0.0, 16.0
    assert excess(high) < 0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    assert high == pytest.approx(bare / slope, rel=1e-6)
    assert excess(0.95 * high) > 0
    assert all(excess(factor * high) <= 0 for factor in (1.001, 2.0, 10.0, 100.0))


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_best_policy_by_the_conservative_value_is_no_worse_than_the_logged_one(beta):
    """C6, exact model and log: J(behaviour) = eta(behaviour) and J <= eta, so the maximiser of J improves safely."""
    rng = np.random.default_rng(6)
    deterministic = [np.eye(ACTIONS)[list(choice)] for choice in product(range(ACTIONS), repeat=STATES)]
    for _ in range(5):
        world, behaviour = random_world(rng), random_policy(rng)
        data = occupancy(world, behaviour)
        candidates = [behaviour, *deterministic, *(0.7 * behaviour + 0.3 * choice for choice in deterministic)]
        values = np.array([combo_return(world, world, policy, data, beta) for policy in candidates])
        returns = np.array([true_return(world, policy) for policy in candidates])
        assert values[0] == pytest.approx(returns[0], abs=1e-8)
        assert (values <= returns + 1e-8).all()
        assert returns[values.argmax()] >= returns[0] - 1e-9
        assert returns.min() < returns[0] - 0.05  # there was something to be kept from
