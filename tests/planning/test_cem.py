"""The cross-entropy method: the Riccati solution, refits with known moments, starting points, the last evaluation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import NOTHING, assert_close, history, keys, line, lives, slope, target

from orl.config import build
from orl.errors import UsageError
from orl.planning.base import Plan
from orl.planning.cem import CemConfig, best, make_cem
from orl.planning.shooting import PlannerParams, Shots
from orl.types import Array, Step

A, B = np.asarray([[1.0, 0.1], [0.0, 1.0]]), np.asarray([[0.0], [0.1]])
SCALE = 2.0  # the plant's input is twice the action, so that the bounds are out of reach


def riccati(x: np.ndarray, horizon: int, weight: float = 0.1) -> tuple[np.ndarray, float]:
    """Optimal inputs [H] from x [2] and their cost, for the sum of x'x + weight u^2 and x_H'x_H at the end."""
    cost, gains = np.eye(2), []
    for _ in range(horizon):
        gain = np.linalg.solve(weight + B.T @ cost @ B, B.T @ cost @ A)
        cost = np.eye(2) + A.T @ cost @ (A - B @ gain)
        gains.append(gain)
    total, inputs = x @ cost @ x, []
    for gain in reversed(gains):
        inputs.append(-(gain @ x)[0])
        x = A @ x + B[:, 0] * inputs[-1]
    return np.asarray(inputs), total


def plant(model: None, key: Array, obs: Array, action: Array) -> Step:
    """The linear plant with quadratic costs as negative rewards."""
    u = SCALE * action[:, 0]
    reward = -jnp.sum(obs**2, axis=-1) - 0.1 * u**2
    return Step(obs @ A.T + u[:, None] * B[:, 0], reward, lives(obs), jnp.zeros_like(u))


def final_cost(params: None, obs: Array) -> Array:
    """-x'x."""
    return -jnp.sum(obs**2, axis=-1)


def test_the_plan_of_a_linear_plant_is_riccatis() -> None:
    """P2: from (1, 0) first input -1.520919, the whole sequence, the states and the cost; and another start beside."""
    config = CemConfig(horizon=10, samples=2000, elites=100, iterations=30, initial_std=0.5, min_std=0.0, discount=1.0)
    plan = jax.jit(make_cem(config, plant, None, final_cost))
    starts = np.asarray([[1.0, 0.0], [-0.5, 0.8]])
    out = plan(NOTHING, keys(0, 1), history(starts, np.zeros((2, 10, 1))))
    for start, action, sequence, value in zip(starts, out.action, out.trajectory.action, out.value, strict=True):
        inputs, cost = riccati(start, 10)
        np.testing.assert_allclose(SCALE * action[0], inputs[0], atol=2e-3)
        np.testing.assert_allclose(SCALE * sequence[:, 0], inputs, atol=5e-3)
        np.testing.assert_allclose(-value, cost, rtol=1e-5)
    np.testing.assert_allclose(riccati(starts[0], 10)[0][0], -1.520919, atol=1e-6)
    np.testing.assert_allclose(out.trajectory.obs[0, 1], A @ starts[0] + B[:, 0] * SCALE * out.action[0, 0], atol=1e-5)


def climb(iterations: int, **settings: Any) -> float:
    """Where the mean of a CEM from 0 is after some refits to the top tenth of 20 000 samples of std 0.1."""
    sizes = {"horizon": 1, "samples": 20_000, "elites": 2000, "initial_std": 0.1, "iterations": iterations}
    plan = make_cem(CemConfig(**(sizes | settings)), slope, None, None)
    return float(plan(NOTHING, keys(3), history([[0.0]], np.zeros((1, 1, 1)))).action[0, 0])


def test_refits_have_the_moments_of_the_top_tenth_of_a_gaussian() -> None:
    """Mean + 1.755 std, then a std 0.411 times as large: 0.1755, 0.2476, 0.2773; no smaller than the least std."""
    np.testing.assert_allclose(climb(1), 0.1755, atol=0.003)
    np.testing.assert_allclose(climb(2, min_std=0.0), 0.1755 * (1 + 0.411), atol=0.006)
    np.testing.assert_allclose(climb(3, min_std=0.0), 0.1755 * (1 + 0.411 + 0.411**2), atol=0.006)
    np.testing.assert_allclose(climb(2, min_std=0.08), 0.1755 * (1 + 0.8), atol=0.004)
    np.testing.assert_allclose(climb(1, min_std=0.5), 0.1755, atol=0.003)  # the first spread is as it was asked for
    np.testing.assert_allclose(climb(3, elites=20_000), 0.0, atol=0.003)


def test_the_best_by_hand() -> None:
    """The two highest of four scores, a -inf among them, each with its own sequence."""
    action = jnp.arange(8.0).reshape(4, 2, 1)
    shots = Shots(jnp.asarray([1.0, -jnp.inf, 3.0, 2.0]), *[action] * 4)
    np.testing.assert_array_equal(best(shots, 2)[..., 0], [[4, 5], [6, 7]])


def test_every_step_and_dimension_has_a_noise_of_its_own() -> None:
    """Only one of four actions earns anything, so only that one climbs; noise that was shared would lift others too."""
    step = lambda model, key, obs, action: Step(obs + 1, action[:, 0] * (1 - obs[:, 0]), lives(obs), obs[:, 0])  # noqa: E731
    config = CemConfig(horizon=2, samples=4000, elites=400, iterations=1, initial_std=0.1, discount=1.0)
    out = make_cem(config, step, None, None)(NOTHING, keys(0), history([[0.0]], np.zeros((1, 2, 2))))
    np.testing.assert_allclose(out.trajectory.action, [[[0.1755, 0.0], [0.0, 0.0]]], atol=0.015)


def test_the_bounds_hold() -> None:
    """A goal of 3 in units of half the action ends at the bound itself, and no further."""
    config = CemConfig(horizon=1, samples=200, elites=20, iterations=8)
    out = make_cem(config, target, None, None)(PlannerParams(3.0, None, None), keys(0), history([[3.0]], [[[0.0]]]))
    np.testing.assert_allclose(out.action, 1.0, atol=1e-3)
    assert out.action.max() <= 1.0


def drift(params: Array, obs: Array) -> Array:
    """A prior that acts by the state: `params` + s / 100."""
    return params + obs[:, :1] / 100


def still(**settings: Any) -> CemConfig:
    """A search that hardly leaves its start."""
    sizes = {"horizon": 3, "samples": 20, "elites": 5, "iterations": 2, "initial_std": 1e-6, "min_std": 0.0}
    return CemConfig(**(sizes | settings))


def test_it_starts_from_the_guess_or_from_the_priors_rollout() -> None:
    """Without a prior at the last plan; with one at its actions in the states that it leads to, with its parameters."""
    past = history([[2.0], [-4.0]], np.linspace(-0.9, 0.9, 6).reshape(2, 3, 1))
    out = make_cem(still(), line, None, None)(NOTHING, keys(0, 1), past)
    np.testing.assert_allclose(out.trajectory.action, past.guess, atol=1e-4)
    out = make_cem(still(), line, drift, None)(PlannerParams(None, 0.1, None), keys(0, 1), past)
    s = np.asarray(past.now)
    for t in range(3):
        np.testing.assert_allclose(out.trajectory.action[:, t], 0.1 + s / 100, atol=1e-4)
        np.testing.assert_allclose(out.trajectory.obs[:, t], s, atol=1e-3)
        s = s + 0.1 + s / 100


def members(model: None, key: Array, obs: Array, action: Array) -> Step:
    """Two elites in turn: one moves by the action, the other by three times as much; the reward is the state."""
    pace = 1 + 2 * (jnp.arange(obs.shape[0]) % 2.0)
    return Step(obs + pace[:, None] * action, obs[:, 0], lives(obs), obs[:, 0])


def test_the_priors_rollout_and_the_last_evaluation_hear_several_members() -> None:
    """From 0 by 1/2: states 0.5 and 1.5, mean 1, in the plan and under the prior that plays half the state."""
    past = history([[0.0]], np.full((1, 2, 1), 0.5))
    out = make_cem(still(horizon=2, elites=4), members, None, None)(NOTHING, keys(0), past)
    np.testing.assert_allclose(out.trajectory.obs[0, :, 0], [0, 1], atol=1e-4)
    np.testing.assert_allclose(out.value, 0.99 * 1, atol=1e-4)
    half = lambda params, obs: 0.5 - 0.25 * obs  # noqa: E731
    out = make_cem(still(horizon=2, elites=4), members, half, None)(NOTHING, keys(0), past)
    np.testing.assert_allclose(out.trajectory.action[0, :, 0], [0.5, 0.25], atol=1e-4)


def noisy(model: None, key: Array, obs: Array, action: Array) -> Step:
    """Rewards of pure noise, mean 5."""
    return slope(model, key, obs, action)._replace(reward=5 + jax.random.normal(key, obs.shape[:1]))


def test_the_value_is_not_flattered_by_the_search() -> None:
    """The best of 2000 noisy scores is about 8.5; the mean played 400 times more scores 5."""
    config = CemConfig(horizon=1, samples=2000, elites=400)
    out = make_cem(config, noisy, None, None)(NOTHING, keys(0), history([[0.0]], [[[0.0]]]))
    np.testing.assert_allclose(out.value, 5.0, atol=0.2)
    np.testing.assert_allclose(out.value, out.trajectory.reward[:, 0], rtol=1e-5)


def fragile(model: None, key: Array, obs: Array, action: Array) -> Step:
    """The reward is the action, but a state beyond 1 ends the episode."""
    out = slope(model, key, obs + action, action)
    return out._replace(terminated=out.next_obs[:, 0] > 1)


def test_it_plans_not_to_end() -> None:
    """Ten steps of 0.1 earn 1 and live to see a value of 1; a stride over 1 earns a little more and dies."""
    config = CemConfig(horizon=4, samples=400, elites=40, iterations=10, discount=1.0)
    past = history([[0.0]], np.zeros((1, 4, 1)))
    worth = lambda params, obs: params + 0 * obs[:, 0]  # noqa: E731
    alive = make_cem(config, fragile, None, worth)(PlannerParams(None, None, 10.0), keys(0), past)
    assert 0.8 < float(alive.trajectory.action.sum()) <= 1.0
    np.testing.assert_allclose(alive.value, 10 + alive.trajectory.action.sum(), rtol=1e-4)
    reckless = make_cem(config, fragile, None, None)(NOTHING, keys(0), past)
    assert float(reckless.value[0]) > 1.2


def test_episodes_do_not_mix() -> None:
    """Three goals in one call give three answers, each the one that its episode gets alone with its key."""
    config = CemConfig(horizon=1, samples=100, elites=10)
    plan = jax.jit(make_cem(config, target, None, None))
    params, goals, guess = PlannerParams(3.0, None, None), [[-1.2], [0.0], [1.2]], [[[-0.5]], [[0.0]], [[0.5]]]
    together = plan(params, keys(7, 8, 9), history(goals, guess))
    np.testing.assert_allclose(2 * together.action, goals, atol=0.05)
    for i in range(3):
        alone = plan(params, keys(7 + i), history(goals[i : i + 1], guess[i : i + 1]))
        assert_close(alone, jax.tree.map(lambda x, i=i: x[i : i + 1], together))


def test_iterations_draw_afresh() -> None:
    """With all samples elites the mean is an error alone: noise used twice would double it from one refit to two."""
    sizes = {"elites": 50, "samples": 50, "min_std": 0.0}
    assert not np.isclose(climb(2, **sizes), 2 * climb(1, **sizes), rtol=0.2)


def test_deterministic_in_the_key_with_and_without_jit_and_compiled_once() -> None:
    """The same key gives the same plan, another key another one; new histories do not compile again."""
    plan = make_cem(still(initial_std=0.3), line, drift, None)
    traces = []

    def traced(*args: Any) -> Plan:
        traces.append(1)
        return plan(*args)

    params, compiled = PlannerParams(None, 0.1, None), jax.jit(traced)
    past = history([[2.0]], np.zeros((1, 3, 1)))
    first = compiled(params, keys(0), past)
    jax.tree.map(np.testing.assert_array_equal, first, compiled(params, keys(0), past))
    assert_close(first, plan(params, keys(0), past))
    other = compiled(params, keys(1), past._replace(now=past.now + 0.1))
    assert not np.any(np.asarray(first.action) == np.asarray(other.action))
    assert len(traces) == 1


def test_settings_are_checked() -> None:
    """More elites than samples, a penalty of nothing, and values out of range are refused."""
    with pytest.raises(UsageError, match=r"plan\.elites is 50, more than plan\.samples \(40\)"):
        CemConfig(samples=40, elites=50)
    with pytest.raises(UsageError, match=r"plan\.uncertainty"):
        CemConfig(penalty_coef=1.0)
    for bad in ({"iterations": 0}, {"initial_std": 0.0}, {"min_std": -1.0}, {"discount": 1.5}, {"horizon": 0}):
        with pytest.raises(UsageError):
            build(CemConfig, bad)
