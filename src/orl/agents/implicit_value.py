"""What the best of a log's behaviour earns from each observation on: implicit Q-learning, without a policy.

Reference: IQL, arXiv:2110.06169: V is an upper expectile of Q over logged actions, Q follows r + g V(s').
Unlike a return it does not depend on who acted later, so it tells a good state from a lucky author.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from orl.agents.critic import polyak_average, td_loss
from orl.agents.state_value import HIDDEN, NETWORK, ValueParams
from orl.data.normalise import Normaliser, fit_normaliser
from orl.networks import Critics, forward
from orl.types import Array, Params, Transition

STEPS, BATCH, RATE, POLYAK = 20_000, 256, 1e-3, 0.005
CRITICS = Critics(HIDDEN, 2)


class IqlState(NamedTuple):
    """Networks and optimisers; all values in units of the rewards' horizon."""

    value: Params
    critic: Params
    target_critic: Params
    value_opt: optax.OptState
    critic_opt: optax.OptState


def expectile_loss(error: Array, expectile: float) -> Array:
    """Mean of |expectile - 1(error < 0)| error^2, error [B]: its minimiser is the expectile (0.5: the mean)."""
    return jnp.mean(jnp.where(error < 0, 1.0 - expectile, expectile) * error**2)


def fit_implicit_value(data: Transition, *, discount: float, expectile: float, key: Array) -> ValueParams:
    """V of the logged transitions [N]; the key is consumed. Time-outs are no ends, so nothing needs completing."""
    obs = fit_normaliser(np.asarray(data.obs))
    rewards = np.asarray(data.reward, np.float64)
    # whatever the rewards, the networks see values of the order of 1
    returns = Normaliser(
        jnp.asarray([rewards.mean() / (1.0 - discount)], jnp.float32),
        jnp.asarray([max(rewards.std(), 1e-6) / (1.0 - discount)], jnp.float32),
    )
    net = jax.jit(_learn, static_argnums=(3, 4))(data, obs, returns, discount, expectile, key)
    return ValueParams(net, obs, returns)


def _learn(
    data: Transition, obs: Normaliser, returns: Normaliser, discount: float, expectile: float, key: Array
) -> Params:
    optimiser = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))
    now, after = obs.apply(data.obs), obs.apply(data.next_obs)
    value_key, critic_key, key = jax.random.split(key, 3)
    value, critic = NETWORK.init(value_key, now[:1]), CRITICS.init(critic_key, now[:1], data.action[:1])

    def value_loss(value: Params, target: Params, rows: Array) -> Array:
        q = jnp.min(forward(CRITICS, target, now[rows], data.action[rows]), axis=0)
        return expectile_loss(q - forward(NETWORK, value, now[rows])[:, 0], expectile)

    def critic_loss(critic: Params, value: Params, rows: Array) -> Array:
        ahead = returns.invert(forward(NETWORK, value, after[rows]))[:, 0]
        target = data.reward[rows] + discount * (1.0 - data.terminated[rows]) * ahead
        return td_loss(forward(CRITICS, critic, now[rows], data.action[rows]), returns.apply(target[:, None])[:, 0])

    def update(state: IqlState, key: Array) -> tuple[IqlState, None]:
        rows = jax.random.randint(key, (BATCH,), 0, data.obs.shape[0])
        grads = jax.grad(value_loss)(state.value, state.target_critic, rows)
        change, value_opt = optimiser.update(grads, state.value_opt)
        value = optax.apply_updates(state.value, change)
        grads = jax.grad(critic_loss)(state.critic, value, rows)
        change, critic_opt = optimiser.update(grads, state.critic_opt)
        critic = optax.apply_updates(state.critic, change)
        target = polyak_average(state.target_critic, critic, POLYAK)
        return IqlState(value, critic, target, value_opt, critic_opt), None

    state = IqlState(value, critic, critic, optimiser.init(value), optimiser.init(critic))
    state, _ = jax.lax.scan(update, state, jax.random.split(key, STEPS))
    return state.value
