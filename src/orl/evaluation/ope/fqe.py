"""Fitted Q evaluation: the value of a deterministic policy, by regression on the policy's own Bellman targets.

Reference: Le et al., arXiv:1903.08738; Paine et al., arXiv:2007.09055, rank policies by it. Departs: the target network
is a moving average, members differ by a bootstrap over episodes, and networks see standardised numbers only:
observations, and values in the spread of the logged returns.

An error in the mean of all values dies out as exp(-polyak * (1 - discount) * updates), however good the regression is.
`polyak` is therefore larger here than in actor-critics, where the policy moves as well; with the defaults less than a
hundredth is left at a discount of 0.99, and what is left shows as a mean Bellman error (`fqe_diagnosis`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray
from pydantic import Field

from orl.agents.critic import polyak_average, td_loss
from orl.chunks import cached_rows, map_chunks
from orl.compilation import small_products
from orl.data.normalise import Normaliser, fit_normaliser
from orl.evaluation.ope.types import LoggedEpisodes
from orl.networks import forward, stacked
from orl.types import ActFn, Array, Params, Transition

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class FqeConfig:
    """Settings of fitted Q evaluation.

    Attributes:
        hidden: widths of the hidden layers, () for a linear function.
        layer_norm: after each hidden product; it keeps values of unseen actions within reach of those seen.
        members: networks that judge each episode, each on a bootstrap of its own.
        updates, batch_size, learning_rate: of Adam, whose rate falls to 0 along a cosine.
        polyak: share of the network in its target at each update.
    """

    hidden: tuple[Positive, ...] = (128, 128)
    layer_norm: bool = True
    members: Positive = 5
    updates: Positive = 10_000
    batch_size: Positive = 256
    learning_rate: Rate = 1e-3
    polyak: Annotated[float, Field(gt=0, le=1)] = 0.05


@partial(
    jax.tree_util.register_dataclass, data_fields=("net", "obs", "returns", "low", "high"), meta_fields=("config",)
)
@dataclass(frozen=True)
class FqeParams:
    """M fitted members.

    Attributes:
        net: stacked network parameters, leading axis M. obs: units of observations. returns: units of values.
        low, high: scalars, the range outside of which no policy's value lies.
        config: the settings they were fitted with.
    """

    net: Params
    obs: Normaliser
    returns: Normaliser
    low: Array
    high: Array
    config: FqeConfig


class FqeData(NamedTuple):
    """(obs, action) and (next_obs, the policy's next action), [N, O+A] as the networks see them; raw reward [N]."""

    now: Array
    after: Array
    reward: Array
    terminated: Array


def value_range(reward: NDArray, terminated: NDArray, discount: float) -> tuple[float, float]:
    """(low, high): no policy's value lies outside, as long as rewards stay within those of the log [N].

    Without ends r_min / (1 - discount) to r_max / (1 - discount); where episodes can end, one reward may be all.
    """
    low, high = float(np.min(reward)), float(np.max(reward))
    endless = low / (1.0 - discount), high / (1.0 - discount)
    return (min(low, endless[0]), max(high, endless[1])) if np.any(terminated) else endless


def steady_value(reward: NDArray, terminated: NDArray, discount: float) -> float:
    """mean(r) / (1 - discount * (1 - p)) of rewards [N]: going on as the log does, ended at a step with chance p."""
    return float(np.mean(reward) / (1.0 - discount * (1.0 - np.mean(terminated))))


def return_units(episodes: LoggedEpisodes, discount: float) -> Normaliser:
    """Mean and spread of the logged returns-to-go, cut ones completed by `steady_value`; at least the rewards' spread.

    Networks start at that mean. Where episodes are cut early - 100 steps at a discount of 0.99 - the mean of what was
    logged is half of what Q has to become, and most of the updates would go into that.
    """
    reward = episodes.reward
    returns = episodes.returns_to_go(discount, steady_value(reward, np.asarray(episodes.rows.terminated), discount))
    spread = max(returns.std(), reward.std(), 1e-6 * max(1.0, abs(returns.mean())))
    return Normaliser(jnp.asarray(returns.mean(), jnp.float32), jnp.asarray(spread, jnp.float32))


def bellman_target(
    reward: Array, terminated: Array, next_value: Array, low: Array, high: Array, discount: Array
) -> Array:
    """[...] y = r + discount * (1 - terminated) * clip(V(s'), low, high): nothing follows an end.

    Reference: the policy evaluation backup of fitted Q evaluation, arXiv:1903.08738; the clip is ours.
    """
    return reward + discount * (1.0 - terminated) * jnp.clip(next_value, low, high)


def fit_fqe(
    config: FqeConfig,
    act: ActFn,
    policy: Params,
    episodes: LoggedEpisodes,
    multiplicity: NDArray[np.integer],
    discount: float,
    key: Array,
) -> FqeParams:
    """Fit M members to the value of the policy's mode.

    Args:
        act, policy: the policy, asked without a key, so for its mode.
        episodes: the log of N rows; ends count as ends, time-outs are looked beyond.
        multiplicity: [M, N] how many times each member's data holds each row (0: it never sees it).
        discount: per step, below 1. key: consumed.
    """
    next_action = policy_actions(act, policy, episodes.rows.next_obs)
    return fit_q(config, next_action, episodes, multiplicity, discount, key)


def fit_q(
    config: FqeConfig,
    next_action: Array,
    episodes: LoggedEpisodes,
    multiplicity: NDArray[np.integer],
    discount: float,
    key: Array,
) -> FqeParams:
    """`fit_fqe` of whoever takes `next_action` [N, A] in `next_obs`: also of the behaviour, given what it took.

    One program serves every policy on the same log.
    """
    rows = episodes.rows
    low, high = value_range(episodes.reward, np.asarray(rows.terminated), discount)
    net_key, learn_key = jax.random.split(key)
    start = FqeParams(
        net=_init(config, net_key, multiplicity.shape[0], rows.obs.shape[1] + rows.action.shape[1]),
        obs=fit_normaliser(np.asarray(rows.obs)),
        returns=return_units(episodes, discount),
        low=jnp.asarray(low, jnp.float32),
        high=jnp.asarray(high, jnp.float32),
        config=config,
    )
    seats = jnp.asarray(np.cumsum(multiplicity, axis=1, dtype=np.int32))
    data = fqe_data(start.obs, rows, next_action)
    return _program()(start, data, seats, jnp.asarray(discount, jnp.float32), learn_key)


def q_values(params: FqeParams, obs: Array, action: Array) -> Array:
    """[M, B] value of taking actions [B, A] in observations [B, O] and following the policy then, in reward units."""
    rows = jnp.concatenate([params.obs.apply(obs), action], axis=-1)
    return jnp.clip(raw_values(params, rows), params.low, params.high)


def values(params: FqeParams, act: ActFn, policy: Params, obs: Array) -> Array:
    """[M, B] value of the policy's mode in observations [B, O], in reward units."""
    return q_values(params, obs, policy_actions(act, policy, obs))


@partial(jax.jit, static_argnums=0)
def policy_actions(act: ActFn, policy: Params, obs: Array) -> Array:
    """[B, A] the policy's mode in observations [B, O]."""
    return map_chunks(lambda rows: act(policy, None, rows), obs, cached_rows())


@jax.jit
def raw_values(params: FqeParams, rows: Array) -> Array:
    """[M, B] what the networks say of rows [B, O+A] in their units, possible or not."""
    members = jax.tree.leaves(params.net)[0].shape[0]
    network = _network(params.config, members, shared_input=True)
    standardised = map_chunks(lambda x: network(params.net, x).T, rows, cached_rows()).T
    return params.returns.invert(standardised)


def fqe_data(obs: Normaliser, rows: Transition, next_action: Array) -> FqeData:
    """Rows [N, ...] with the policy's next actions [N, A] as the networks see them, [N, O+A] each."""
    now = jnp.concatenate([obs.apply(rows.obs), rows.action], axis=-1)
    after = jnp.concatenate([obs.apply(rows.next_obs), next_action], axis=-1)
    return FqeData(now, after, jnp.asarray(rows.reward), jnp.asarray(rows.terminated))


def draw_rows(key: Array, seats: Array, count: int) -> Array:
    """[M, count] rows, each drawn as often as its multiplicity says; `seats` [M, N] is the running sum of those."""
    seat = jax.random.randint(key, (seats.shape[0], count), 0, seats[:, -1:])
    return jax.vmap(partial(jnp.searchsorted, side="right"))(seats, seat)


@cache
def _program() -> Callable[..., FqeParams]:
    return jax.jit(_learn, compiler_options=small_products())


def _learn(params: FqeParams, data: FqeData, seats: Array, discount: Array, key: Array) -> FqeParams:
    """All updates; what is kept is the moving average."""
    config = params.config
    network = _network(config, seats.shape[0], shared_input=False)
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.updates))

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        net, target, state = carry
        rows = draw_rows(key, seats, config.batch_size)
        batch = jax.tree.map(lambda x: x[rows], data)  # [M, B, ...]
        ahead = params.returns.invert(network(target, batch.after))
        y = bellman_target(batch.reward, batch.terminated, ahead, params.low, params.high, discount)
        aim = params.returns.apply(y)
        grads = jax.grad(lambda net: td_loss(network(net, batch.now), aim))(net)
        change, state = optimiser.update(grads, state)
        net = optax.apply_updates(net, change)
        return (net, polyak_average(target, net, config.polyak), state), None

    start = (params.net, params.net, optimiser.init(params.net))
    (_, target, _), _ = jax.lax.scan(update, start, jax.random.split(key, config.updates))
    return FqeParams(target, params.obs, params.returns, params.low, params.high, config)


def _network(config: FqeConfig, members: int, *, shared_input: bool) -> Callable[[Params, Array], Array]:
    """(parameters, [B, O+A] or [M, B, O+A]) -> [M, B] standardised values."""
    module = stacked(members, shared_input=shared_input)(config.hidden, 1, layer_norm=config.layer_norm)
    return lambda net, x: forward(module, net, x)[..., 0]


def zero_head(net: Params, hidden: tuple[int, ...]) -> Params:
    """The stacked networks, answering 0 to everything: what a random start says would take long to forget."""
    head = f"Dense_{len(hidden)}"
    return {"params": net["params"] | {head: jax.tree.map(jnp.zeros_like, net["params"][head])}}


def _init(config: FqeConfig, key: Array, members: int, inputs: int) -> Params:
    """Fresh networks; their 0 is the mean of the logged returns (`return_units`)."""
    module = stacked(members, shared_input=True)(config.hidden, 1, layer_norm=config.layer_norm)
    return zero_head(module.init(key, jnp.zeros((1, inputs))), config.hidden)
