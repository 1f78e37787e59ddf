"""The conservative term as a regulariser of the critic: sampled actions, weight fixed or by a Lagrange multiplier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from pydantic import Field

from orl.agents.actor import SampleFn
from orl.agents.conservative import conservative_gap, lagrange_loss, uniform_log_density
from orl.agents.sac import Regulariser, SacState
from orl.types import Array, Batch, Metrics, Params

QFn = Callable[..., Array]


@dataclass(frozen=True)
class ConservativeConfig:
    """Settings of the conservative term.

    Attributes:
        conservative_weight: beta, on the scale of a critic loss with 0.5 before the squared TD error.
        actions_per_source: actions drawn per state from each of uniform, pi(s) and pi(s').
        temperature: of the log-sum-exp.
        lagrange_threshold: above 0, beta is learned so that the gap stays near this; 0 keeps beta fixed.
        lagrange_learning_rate: of the multiplier's Adam.
    """

    conservative_weight: Annotated[float, Field(ge=0)] = 5.0
    actions_per_source: Annotated[int, Field(ge=1)] = 10
    temperature: Annotated[float, Field(gt=0)] = 1.0
    lagrange_threshold: Annotated[float, Field(ge=0)] = 0.0
    lagrange_learning_rate: Annotated[float, Field(gt=0)] = 3e-4


def sampled_actions(
    sample: SampleFn,
    state: SacState,
    key: Array,
    obs: Array,
    next_obs: Array,
    count: int,
    dim: int,
) -> tuple[Array, Array]:
    """Actions [B, 3 * count, A] and the log-densities [B, 3 * count] they were drawn with.

    In this order: uniform on [-1, 1]^A, pi(.|s) and pi(.|s'). All are meant for Q(s, .): those of s' are proposals
    that happen to be good, and carry their own density. None carries a gradient to the actor.
    """
    uniform_key, here_key, next_key = jax.random.split(key, 3)
    rows = obs.shape[0]
    uniform = jax.random.uniform(uniform_key, (rows, count, dim), minval=-1.0, maxval=1.0)
    here, here_density = sample(state.policy, here_key, obs, count)
    beyond, beyond_density = sample(state.policy, next_key, next_obs, count)
    density = jnp.concatenate([jnp.full((rows, count), uniform_log_density(dim)), here_density, beyond_density], axis=1)
    return jax.lax.stop_gradient((jnp.concatenate([uniform, here, beyond], axis=1), density))


def conservative_regulariser(
    config: ConservativeConfig,
    q: QFn,
    sample: SampleFn,
    action_dim: int,
    rho: Callable[[Batch], tuple[Array, Array]],
) -> Regulariser:
    """beta * (soft maximum of Q at the states `rho(batch)` - mean Q of the logged pairs).

    Args:
        rho: Batch -> (obs, next_obs) [B, O] of the states whose out-of-data actions are pushed down.
    """
    learned = config.lagrange_threshold > 0
    adam = optax.adam(config.lagrange_learning_rate)

    def init() -> Params:
        log_weight = jnp.log(jnp.maximum(jnp.asarray(config.conservative_weight, jnp.float32), 1e-8))
        return (log_weight, adam.init(log_weight)) if learned else ()

    def weight(state: Params) -> Array:
        return jnp.clip(jnp.exp(state[0]), 0.0, 1e6) if learned else jnp.asarray(config.conservative_weight)

    def loss(key: Array, state: SacState, critic: Params, batch: Batch) -> tuple[Array, Params]:
        obs, next_obs = rho(batch)
        normaliser = state.policy.normaliser
        actions, density = sampled_actions(sample, state, key, obs, next_obs, config.actions_per_source, action_dim)
        at = jnp.broadcast_to(obs[:, None], (*actions.shape[:2], obs.shape[-1]))
        q_sampled = q(critic, normaliser, at, actions)
        q_logged = q(critic, normaliser, batch.real.obs, batch.real.action)
        gap = conservative_gap(q_sampled, density, q_logged, config.temperature)
        threshold = config.lagrange_threshold if learned else 0.0
        return jax.lax.stop_gradient(weight(state.regulariser)) * jnp.sum(gap - threshold), gap

    def update(state: Params, gap: Params) -> tuple[Params, Metrics]:
        metrics = {"conservative_gap": jnp.mean(gap), "conservative_weight": weight(state)}
        if not learned:
            return state, metrics
        log_weight, opt = state
        grad = jax.grad(lagrange_loss)(log_weight, gap, config.lagrange_threshold)
        updates, opt = adam.update(grad, opt)
        return (optax.apply_updates(log_weight, updates), opt), metrics

    return Regulariser(init, loss, update)
