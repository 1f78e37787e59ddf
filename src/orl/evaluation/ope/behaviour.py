"""The density of the actions that a log's behaviour took: a Gaussian whose mean and spread depend on the observation.

Choice: the Gaussian is censored at the bounds. What a behaviour wanted beyond a bound was clipped to it, so an action
at a bound (within `EDGE` of it) has the probability of the whole tail behind it, every other the Gaussian's density.
A ratio of two such densities is exact for policies that add Gaussian noise and clip. Squashed ones are approximated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import norm
from numpy.typing import NDArray
from pydantic import Field

from orl.chunks import cached_rows, map_chunks
from orl.compilation import small_products
from orl.data.normalise import Normaliser, fit_normaliser
from orl.evaluation.ope.fqe import Positive, Rate, draw_rows, zero_head
from orl.networks import forward, stacked
from orl.types import Array, Params, Transition

EDGE = 1e-3
LOG_STD_MIN, LOG_STD_MAX = -5.0, 1.0  # narrower than 0.007 a density says more of rounding than of the behaviour


@dataclass(frozen=True)
class BehaviourConfig:
    """Settings of the behaviour's density.

    Attributes:
        hidden: widths of the hidden layers, () for a linear mean and log-spread.
        updates, batch_size, learning_rate: of Adam, whose rate falls to 0 along a cosine.
        checks: after how many equal parts of the updates the held-out likelihood is asked; the best of them is kept.
    """

    hidden: tuple[Positive, ...] = (128, 128)
    updates: Positive = 5000
    batch_size: Positive = 256
    learning_rate: Rate = 1e-3
    checks: Annotated[int, Field(ge=1)] = 20


@partial(jax.tree_util.register_dataclass, data_fields=("net", "obs", "held_out"), meta_fields=("config",))
@dataclass(frozen=True)
class BehaviourParams:
    """K fitted members: stacked networks, units of observations, mean log-density of the rows held out [K], in nats."""

    net: Params
    obs: Normaliser
    held_out: Array
    config: BehaviourConfig


def censored_log_density(action: Array, mean: Array, std: Array) -> Array:
    """[...] log-density of actions [..., A] in [-1, 1]: Gaussian inside, the tail's probability at the bounds."""
    low, high = action <= EDGE - 1.0, action >= 1.0 - EDGE
    inside = norm.logpdf(action, mean, std)
    # a tail's gradient is no number far out, and a branch that is not taken would still pass it on
    below = norm.logcdf(jnp.where(low, (EDGE - 1.0 - mean) / std, 0.0))
    above = norm.logcdf(jnp.where(high, (mean - 1.0 + EDGE) / std, 0.0))
    return jnp.sum(jnp.where(low, below, jnp.where(high, above, inside)), axis=-1)


def fit_behaviour(config: BehaviourConfig, rows: Transition, learns: NDArray[np.bool_], key: Array) -> BehaviourParams:
    """Fit K members by maximum likelihood, each stopped by the rows that it does not learn from.

    Args:
        rows: [N] logged transitions. learns: [K, N] which rows each member learns from; neither all nor none of them.
        key: consumed.
    """
    obs = fit_normaliser(np.asarray(rows.obs))
    net_key, learn_key = jax.random.split(key)
    module = stacked(len(learns), shared_input=True)(config.hidden, 2 * rows.action.shape[1])
    net = zero_head(module.init(net_key, jnp.zeros((1, rows.obs.shape[1]))), config.hidden)
    start = BehaviourParams(net, obs, jnp.full(len(learns), -jnp.inf), config)
    seats = jnp.asarray(np.cumsum(learns, axis=1, dtype=np.int32))
    return _program()(start, jnp.asarray(rows.obs), jnp.asarray(rows.action), seats, jnp.asarray(~learns), learn_key)


@jax.jit
def action_distribution(params: BehaviourParams, obs: Array) -> tuple[Array, Array]:
    """(mean, std) [K, B, A] of the Gaussian before censoring, in observations [B, O]."""
    return _distribution(params, params.net, params.obs.apply(obs), shared_input=True)


@jax.jit
def log_density(params: BehaviourParams, obs: Array, action: Array) -> Array:
    """[K, B] log-density of actions [B, A] in observations [B, O], in nats."""

    def density(rows: tuple[Array, Array]) -> Array:
        return censored_log_density(rows[1], *action_distribution(params, rows[0])).T

    return map_chunks(density, (obs, action), cached_rows()).T


@jax.jit
def action_distance(params: BehaviourParams, obs: Array, action: Array) -> Array:
    """[K, B] root mean square over dimensions of (action - mean) / std: how far off the behaviour an action is.

    Unlike the density it means the same for narrow and wide behaviours, inside and at the bounds.
    """

    def distance(rows: tuple[Array, Array]) -> Array:
        mean, std = action_distribution(params, rows[0])
        return jnp.sqrt(jnp.mean(((rows[1] - mean) / std) ** 2, axis=-1)).T

    return map_chunks(distance, (obs, action), cached_rows()).T


def _distribution(params: BehaviourParams, net: Params, x: Array, *, shared_input: bool) -> tuple[Array, Array]:
    members, outputs = net["params"][f"Dense_{len(params.config.hidden)}"]["bias"].shape
    module = stacked(members, shared_input=shared_input)(params.config.hidden, outputs)
    mean, log_std = jnp.split(forward(module, net, x), 2, axis=-1)
    return mean, jnp.exp(jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX))


@cache
def _program() -> Callable[..., BehaviourParams]:
    return jax.jit(_learn, compiler_options=small_products())


def _learn(
    params: BehaviourParams, obs: Array, action: Array, seats: Array, held_out: Array, key: Array
) -> BehaviourParams:
    """Learn in parts, and keep each member as it was when its held-out rows [K, N] were likeliest."""
    config, x = params.config, params.obs.apply(obs)
    each = -(-config.updates // config.checks)
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, each * config.checks))

    def loss(net: Params, rows: Array) -> Array:
        mean, std = _distribution(params, net, x[rows], shared_input=False)
        return -jnp.sum(jnp.mean(censored_log_density(action[rows], mean, std), axis=-1))

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        net, state = carry
        grads = jax.grad(loss)(net, draw_rows(key, seats, config.batch_size))
        change, state = optimiser.update(grads, state)
        return (optax.apply_updates(net, change), state), None

    def part(carry: tuple, key: Array) -> tuple[tuple, None]:
        net, state, best, score = carry
        (net, state), _ = jax.lax.scan(update, (net, state), jax.random.split(key, each))
        density = log_density(BehaviourParams(net, params.obs, score, config), obs, action)
        new = jnp.sum(jnp.where(held_out, density, 0.0), axis=1) / jnp.sum(held_out, axis=1)
        better = new > score
        best = jax.tree.map(lambda b, n: jnp.where(better.reshape(-1, *[1] * (n.ndim - 1)), n, b), best, net)
        return (net, state, best, jnp.maximum(score, new)), None

    start = (params.net, optimiser.init(params.net), params.net, params.held_out)
    (_, _, best, score), _ = jax.lax.scan(part, start, jax.random.split(key, config.checks))
    return BehaviourParams(best, params.obs, score, config)
