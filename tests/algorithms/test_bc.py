"""Behaviour cloning finds the conditional mean, not a mode."""

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms.base import Problem
from orl.algorithms.bc import BcConfig, build
from orl.data.normalise import identity_normaliser
from orl.types import Batch, Transition


def test_bimodal_actions_are_answered_by_their_mean():
    """At obs -1: -0.5 and 0.7 as 1 to 3, mean 0.4; at obs +1: 0.9 and -0.9 as 1 to 1, mean 0."""
    obs = jnp.repeat(jnp.array([[-1.0], [1.0]]), 4, axis=0)
    action = jnp.array([[-0.5], [0.7], [0.7], [0.7], [0.9], [-0.9], [0.9], [-0.9]])
    rows = Transition(obs, action, jnp.zeros(8), obs, jnp.zeros(8))
    batch = Batch(rows, jax.tree.map(lambda x: x[:0], rows))
    algorithm = build(BcConfig(hidden=(8,), batch_size=8, actor_learning_rate=1e-2), Problem(1, 1, 400))

    def step(state, key):
        return algorithm.update(key, state, batch, ())

    state = jax.jit(algorithm.init)(jax.random.key(0), identity_normaliser(1))
    state, metrics = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))(
        state, jax.random.split(jax.random.key(1), 400)
    )
    mode = algorithm.act(algorithm.policy(state), None, jnp.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(mode[:, 0], [0.4, 0.0], atol=0.01)
    variance = (3 * 0.3**2 + 0.9**2) / 4 / 2 + 0.9**2 / 2  # what no policy of this kind can explain
    np.testing.assert_allclose(metrics["actor_loss"][-1], variance, atol=1e-3)


def test_model_rows_and_rewards_are_not_looked_at():
    rows = Transition(jnp.zeros((2, 1)), jnp.array([[0.1], [0.2]]), jnp.zeros(2), jnp.zeros((2, 1)), jnp.zeros(2))
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), rows)
    algorithm = build(BcConfig(hidden=(8,), batch_size=2), Problem(1, 1, 10))
    state = jax.jit(algorithm.init)(jax.random.key(0), identity_normaliser(1))
    batch = Batch(rows._replace(reward=broken.reward, next_obs=broken.next_obs), broken)
    _, metrics = jax.jit(algorithm.update)(jax.random.key(1), state, batch, ())
    assert np.isfinite(metrics["actor_loss"])
