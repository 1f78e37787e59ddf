"""Model steps that see the past: the newest observation is predicted, the rest of the stack is what was known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.history import shift_history
from orl.data.normalise import identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.report import elite_mean
from orl.mdp.member_step import make_member_step
from orl.mdp.open_loop import open_loop
from orl.mdp.rollout import rollout
from orl.mdp.step import make_step, step_by, uncertainty_scale
from orl.types import Array

OBS, ACT, PAST = 2, 1, 2
WIDTH = (PAST + 1) * OBS + PAST * ACT
CONFIG = EnsembleConfig(members=2, elites=1, hidden=(3,), weight_decay=(0.0, 0.0), termination_hidden=(3,))


@pytest.fixture(scope="module")
def made() -> tuple[Ensemble, EnsembleParams, Array, Array]:
    """An unfitted ensemble with a history of two, and stacks and actions of random numbers."""
    ensemble = Ensemble(CONFIG, OBS, ACT, learned_termination=True, history=PAST)
    units = identity_normaliser(OBS + 1)
    params = ensemble.init(jax.random.key(0), identity_normaliser(WIDTH + ACT), units, units)
    quiet = {"max_log_var": jnp.full(OBS + 1, -20.0), "min_log_var": jnp.full(OBS + 1, -25.0)}  # next to no noise
    obs, action = jax.random.normal(jax.random.key(1), (5, WIDTH)), jax.random.uniform(jax.random.key(2), (5, ACT))
    return ensemble, params._replace(**quiet), obs, action


def test_inputs_are_the_stack_and_outputs_the_newest_observation(made: tuple) -> None:
    ensemble, params, obs, action = made
    kernel = params.net["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (2, WIDTH + ACT, 3)
    assert ensemble.predict(params, obs, action).mean.shape == (2, 5, OBS + 1)
    older = ensemble.predict(params, obs.at[:, OBS:].add(1.0), action).mean
    assert np.abs(older - ensemble.predict(params, obs, action).mean).min() > 1e-4  # all of it is read
    for units in ("raw", "standardised"):
        assert uncertainty_scale(params, units).shape == (OBS + 1,)


@pytest.mark.parametrize("make", [make_step, make_member_step])
def test_a_step_shifts_the_stack(made: tuple, make: object) -> None:
    """o + predicted change in front, then what was in front, the action played, and nothing of the oldest."""
    ensemble, params, obs, action = made
    out = make(ensemble, "never", "max_std")(params, jax.random.key(3), obs, action)  # type: ignore[operator]
    output = ensemble.predict(params, obs, action).mean[params.elites[0]]
    np.testing.assert_allclose(out.next_obs[:, :OBS], obs[:, :OBS] + output[:, :OBS], atol=1e-3)
    np.testing.assert_array_equal(out.next_obs[:, OBS : 3 * OBS], obs[:, : 2 * OBS])
    np.testing.assert_array_equal(out.next_obs[:, 3 * OBS], action[:, 0])
    np.testing.assert_array_equal(out.next_obs[:, 3 * OBS + 1], obs[:, 3 * OBS])
    np.testing.assert_allclose(out.reward, output[:, OBS], atol=1e-3)


def test_ends_are_told_by_the_newest_observation(made: tuple) -> None:
    """ACT rule sees OBS numbers (the inverted pendulum's angle is the second); so does the learned head."""
    ensemble, params, obs, action = made
    out = make_step(ensemble, "inverted_pendulum")(params, jax.random.key(3), obs, action)
    np.testing.assert_array_equal(out.terminated, np.abs(out.next_obs[:, 1]) > 0.2)
    assert len(set(np.asarray(out.terminated).tolist())) == 2
    learned = make_step(ensemble, "learned")(params, jax.random.key(3), obs, action)
    logit = ensemble.termination_logit(params, obs, action, learned.next_obs)
    np.testing.assert_array_equal(learned.terminated, logit > 0)
    older = learned.next_obs.at[:, OBS:].add(1.0)
    np.testing.assert_array_equal(ensemble.termination_logit(params, obs, action, older), logit)


def test_whoever_decides_on_an_end_is_told_the_newest_observation_alone(made: tuple) -> None:
    _, params, obs, action = made
    output = jnp.arange(5.0 * (OBS + 1)).reshape(5, OBS + 1)

    def ended(params: EnsembleParams, before: Array, action: Array, newest: Array) -> Array:
        np.testing.assert_array_equal(before, obs)
        np.testing.assert_array_equal(newest, obs[:, :OBS] + output[:, :OBS])
        return newest[:, 0] > 5.0

    out = step_by(ended, params, obs, action, output, jnp.zeros(5))
    np.testing.assert_array_equal(out.terminated, obs[:, 0] + output[:, 0] > 5.0)
    np.testing.assert_array_equal(out.reward, output[:, OBS])


def test_rollouts_and_open_loops_carry_the_stack_along(made: tuple) -> None:
    """After three steps the stack holds the last three observations and two actions, as they were."""
    ensemble, params, obs, _ = made
    step, actions = make_step(ensemble, "never"), jax.random.uniform(jax.random.key(4), (5, 3, ACT))
    path, _ = open_loop(step, params, jax.random.key(5), obs, actions)
    assert path.shape == (5, 3, WIDTH)
    last = jnp.concatenate([path[:, 2, :OBS], path[:, 1, :OBS], path[:, 0, :OBS], actions[:, 2], actions[:, 1]], axis=1)
    np.testing.assert_array_equal(path[:, 2], last)

    rolled = rollout(step, lambda p, key, obs: jnp.tanh(obs[:, -1:]), params, None, jax.random.key(5), obs, 3).steps
    np.testing.assert_array_equal(rolled.obs[1:], rolled.next_obs[:-1])
    np.testing.assert_array_equal(rolled.next_obs, shift_history(rolled.obs, rolled.action, rolled.next_obs[..., :OBS]))


def test_the_elites_mean_is_a_stack_too(made: tuple) -> None:
    ensemble, params, obs, action = made
    next_obs, reward = elite_mean(ensemble, params, obs, action)
    output = ensemble.predict(params, obs, action).mean[params.elites[0]]
    np.testing.assert_allclose(next_obs, shift_history(obs, action, obs[:, :OBS] + output[:, :OBS]), rtol=1e-6)
    np.testing.assert_allclose(reward, output[:, OBS], rtol=1e-6)
