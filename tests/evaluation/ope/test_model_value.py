"""The model's estimate against closed forms: linear members, quadratic rewards, ends, tails and penalties."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.normalise import identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble
from orl.evaluation.ope.model_value import model_value, no_value
from orl.mdp.member_step import make_member_step
from orl.types import Array, Params, Step

DISCOUNT, GAIN = 0.9, -0.4
STARTS = jnp.asarray([[1.0], [-2.0], [0.5], [3.0]])


def act(params: Params, key: Array | None, obs: Array) -> Array:
    """u = params * s."""
    assert key is None
    return params * obs


def linear_step(params: Params, key: Array, obs: Array, action: Array) -> Step:
    """s' = a_m s + u + sigma * noise, reward -s^2, for member m = row mod 3; uncertainty |s|; ends beyond |s'| = 50."""
    coefficient, sigma = params
    after = coefficient[jnp.arange(len(obs)) % 3][:, None] * obs + action + sigma * jax.random.normal(key, obs.shape)
    return Step(after, -jnp.square(obs[:, 0]), jnp.abs(after[:, 0]) > 50.0, jnp.abs(obs[:, 0]))


def roll(model: Params, horizon: int, tail=no_value, starts: Array = STARTS, **settings):
    """Three members of `linear_step`, rolled out."""
    settings = {"discount": DISCOUNT} | settings
    key = jax.random.key(0)
    return model_value(
        linear_step, act, tail, model, jnp.asarray(GAIN), GAIN, key, starts, members=3, horizon=horizon, **settings
    )


def test_each_member_has_its_closed_form() -> None:
    """s_t = (a - 0.4)^t s: value -s^2 (1 - (g rho^2)^H) / (1 - g rho^2), and the penalty's sum |s| by the same."""
    coefficient = np.asarray([0.9, 1.2, 0.4])
    found = roll((jnp.asarray(coefficient), 0.0), 40, penalty=0.5)
    rho, s = (coefficient + GAIN)[:, None], np.asarray(STARTS)[:, 0]
    q, p = DISCOUNT * rho**2, DISCOUNT * np.abs(rho)
    plain = -(s**2) * (1 - q**40) / (1 - q)
    np.testing.assert_allclose(found.plain, plain, rtol=1e-4)
    np.testing.assert_allclose(found.penalised, plain - 0.5 * np.abs(s) * (1 - p**40) / (1 - p), rtol=1e-4)
    mean = np.abs(s) * (1 - np.abs(rho) ** 40) / (1 - np.abs(rho)) / 40
    np.testing.assert_allclose(found.uncertainty, mean, rtol=1e-3)
    assert found.plain.shape == (3, 4)
    assert np.all(found.alive)


def test_sampled_rollouts_have_the_closed_form_in_the_mean() -> None:
    """With noise: -(s^2 / (1 - g rho^2) + sigma^2 g / ((1 - g) (1 - g rho^2))), over 4000 rollouts a member."""
    found = np.asarray(roll((jnp.asarray([0.9, 1.2, 0.4]), 0.3), 120, starts=jnp.full((4000, 1), 2.0)).plain)
    q = DISCOUNT * (np.asarray([0.9, 1.2, 0.4]) + GAIN) ** 2
    exact = -(4.0 / (1 - q) + 0.09 * DISCOUNT / ((1 - DISCOUNT) * (1 - q)))
    assert np.all(np.abs(found.mean(axis=1) - exact) < 4 * found.std(axis=1) / np.sqrt(4000))
    assert np.all(found.std(axis=1) > 0)


@pytest.mark.parametrize("horizon", [1, 5, 25])
def test_an_exact_tail_makes_any_horizon_right(horizon: int) -> None:
    """One coefficient for all members, the closed form behind the horizon: the endless value, plain or penalised."""
    rho = 0.9 + GAIN

    def tail(params: Params, obs: Array) -> Array:
        return -jnp.square(obs[:, 0]) / (1 - DISCOUNT * (0.9 + params) ** 2)

    found = roll((jnp.full(3, 0.9), 0.0), horizon, tail)
    exact = -(np.asarray(STARTS)[:, 0] ** 2) / (1 - DISCOUNT * rho**2)
    np.testing.assert_allclose(found.plain, np.tile(exact, (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(found.penalised, found.plain)


def test_nothing_is_earned_behind_an_end() -> None:
    """A member that grows by 2.6 a step from 3 ends at 52.7 with the third: -9 - g 60.84 - g^2 411.3, and no tail."""
    found = roll((jnp.asarray([3.0, 0.9, 0.9]), 0.0), 30, lambda params, obs: jnp.full(len(obs), 1e6))
    steps = 3.0 * 2.6 ** np.arange(3)
    assert found.plain[0, 3] == pytest.approx(-np.sum(DISCOUNT ** np.arange(3) * steps**2), rel=1e-5)
    assert found.uncertainty[0, 3] == pytest.approx(steps.mean(), rel=1e-5)
    assert not found.alive[0, 3]
    assert np.all(found.alive[1:])
    assert np.all(found.plain[1:] > 1e4)


def test_rewards_stay_within_those_of_the_log() -> None:
    """Clipped to [-2, -1]; a prediction that is no number earns the least and goes no further."""
    found = roll((jnp.asarray([0.9, 0.9, jnp.nan]), 0.0), 3, rewards=(-2.0, -1.0), starts=jnp.asarray([[1.2]]))
    earned = np.clip(-((1.2 * 0.5 ** np.arange(3)) ** 2), -2, -1)
    np.testing.assert_allclose(found.plain[0, 0], np.sum(DISCOUNT ** np.arange(3) * earned), rtol=1e-5)
    assert np.all(np.isfinite(found.plain))

    def lost(params: Params, key: Array, obs: Array, action: Array) -> Step:
        nothing = jnp.full(len(obs), jnp.nan)
        return Step(jnp.full_like(obs, jnp.nan), nothing, jnp.zeros(len(obs), bool), nothing)

    def first(params: Params, obs: Array) -> Array:
        return obs[:, 0]

    arguments = (lost, act, first, 0.0, 0.0, 0.0, jax.random.key(0), STARTS)
    found = model_value(*arguments, members=2, horizon=2, discount=0.5, penalty=1.0, rewards=(-2.0, 7.0))
    np.testing.assert_allclose(found.plain, np.tile(-3.0 + 0.25 * STARTS[:, 0], (2, 1)))  # left where it was lost
    assert np.all(np.asarray(found.penalised) < -1e30)  # of unknown uncertainty: as bad as can be


def test_members_of_an_ensemble_are_its_elites() -> None:
    """Three linear members, elites 2 and 0: s' = s + k s, reward 2 s + 1, no ends; each row by its closed form."""
    config = EnsembleConfig(members=3, elites=2, hidden=(), weight_decay=(0.0,), termination="never")
    ensemble, one = Ensemble(config, 1, 1), identity_normaliser(2)
    params = ensemble.init(jax.random.key(0), one, one, one)
    slope = np.asarray([-0.5, 9.0, -0.2])
    kernel = np.zeros((3, 2, 4), np.float32)  # (s, u) -> means of (change, reward), log variances
    kernel[:, 0, 0], kernel[:, 0, 1] = slope, 2.0
    bias = np.tile(np.asarray([0.0, 1.0, -30.0, -30.0], np.float32), (3, 1))
    net = {"params": {"Dense_0": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}}}
    params = params._replace(net=net, elites=jnp.asarray([2, 0], jnp.int32))
    step = make_member_step(ensemble, "never", sample=False)
    found = model_value(
        step,
        act,
        no_value,
        params,
        jnp.asarray(GAIN),
        0.0,
        jax.random.key(0),
        STARTS,
        members=2,
        horizon=20,
        discount=0.9,
    )
    rho, s = 1 + slope[[2, 0]][:, None], np.asarray(STARTS)[:, 0]
    exact = 2 * s * (1 - (0.9 * rho) ** 20) / (1 - 0.9 * rho) + (1 - 0.9**20) / 0.1
    np.testing.assert_allclose(found.plain, exact, rtol=1e-4)
