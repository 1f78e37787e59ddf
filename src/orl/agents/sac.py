"""Soft actor-critic as pure functions over one state, open to an extra term in the critic's loss.

Reference: arXiv:1812.05905 (twin critics, automatic temperature).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from orl.agents.actor import (
    PolicyParams,
    SampleFn,
    actor_optimiser,
    gaussian_log_std,
    init_policy,
    make_actor,
    make_sample,
    soft_policy_loss,
    temperature_loss,
    with_spread,
)
from orl.agents.config import SacConfig
from orl.agents.critic import polyak_average, soft_td_target, td_loss
from orl.data.normalise import Normaliser
from orl.networks import Critics, forward
from orl.types import Array, Batch, Metrics, Params, Transition

BACKUP_STREAM = 2  # folded into the critic's key, whose own draws are the children 0 and 1 of a split


class SacState(NamedTuple):
    """Networks and optimisers.

    `log_alpha` is a scalar; `regulariser` is the state of the extra critic term, () where there is none.
    """

    policy: PolicyParams
    critic: Params
    target_critic: Params
    log_alpha: Array
    actor_opt: optax.OptState
    critic_opt: optax.OptState
    alpha_opt: optax.OptState
    regulariser: Params


class Sac(NamedTuple):
    """What algorithms are built from: `init(key, normaliser)`, `update(key, state, batch, world)`, `q`, `sample`.

    `begin_at(state, policy)` starts from a policy of which only the mode was learned, at the entropy aimed at.
    """

    init: Callable[[Array, Normaliser], SacState]
    update: Callable[[Array, SacState, Batch, Params], tuple[SacState, Metrics]]
    q: Callable[[Params, Normaliser, Array, Array], Array]
    sample: SampleFn
    begin_at: Callable[[SacState, PolicyParams], SacState]


class Regulariser(NamedTuple):
    """An extra term of the critic's loss.

    `init()` gives its state; `loss(key, state, critic, batch)` -> (loss, aux) is differentiated in `critic`;
    `update(state, aux)` -> (state, metrics) runs after the critic's step.
    """

    init: Callable[[], Params]
    loss: Callable[[Array, SacState, Params, Batch], tuple[Array, Params]]
    update: Callable[[Params, Params], tuple[Params, Metrics]]


NO_REGULARISER = Regulariser(
    init=lambda: (),
    loss=lambda key, state, critic, batch: (jnp.zeros(()), ()),
    update=lambda state, aux: (state, {}),
)


class Backup(Protocol):
    """(key, state, batch, world, target [R+M]) -> (the target that is learned [R+M], metrics); the key is consumed.

    Rows are ordered as `join` orders them. `world` is the model's parameters, () without a model.
    """

    def __call__(
        self, key: Array, state: SacState, batch: Batch, world: Params, target: Array
    ) -> tuple[Array, Metrics]: ...


def plain_backup(key: Array, state: SacState, batch: Batch, world: Params, target: Array) -> tuple[Array, Metrics]:
    """The target [R+M] as it is."""
    return target, {}


def join(batch: Batch) -> Transition:
    """Logged and model rows as one batch, logged first."""
    return jax.tree.map(lambda real, model: jnp.concatenate([real, model]), batch.real, batch.model)


def critic_values(config: SacConfig) -> Callable[[Params, Normaliser, Array, Array], Array]:
    """(critic, normaliser, obs [..., O], action [..., A]) -> [K, ...]."""
    critics = Critics(config.hidden, config.critics, config.layer_norm)

    def q(critic: Params, normaliser: Normaliser, obs: Array, action: Array) -> Array:
        return forward(critics, critic, normaliser.apply(obs), action)

    return q


class Parts(NamedTuple):
    """What the updates of one soft actor-critic share: its settings, functions and optimisers."""

    config: SacConfig
    action_dim: int
    q: Callable[[Params, Normaliser, Array, Array], Array]
    sample: SampleFn
    actor_adam: optax.GradientTransformation
    critic_adam: optax.GradientTransformation
    alpha_adam: optax.GradientTransformation
    regulariser: Regulariser
    backup: Backup


def make_sac(
    config: SacConfig,
    action_dim: int,
    total_updates: int,
    regulariser: Regulariser = NO_REGULARISER,
    backup: Backup = plain_backup,
) -> Sac:
    """Soft actor-critic for a problem of `action_dim` actions, trained for `total_updates`."""
    parts = Parts(
        config=config,
        action_dim=action_dim,
        q=critic_values(config),
        sample=make_sample(make_actor(config, action_dim)),
        actor_adam=actor_optimiser(config, total_updates),
        critic_adam=optax.adam(config.critic_learning_rate),
        alpha_adam=optax.adam(config.alpha_learning_rate),
        regulariser=regulariser,
        backup=backup,
    )

    def update(key: Array, state: SacState, batch: Batch, world: Params) -> tuple[SacState, Metrics]:
        critic_key, actor_key = jax.random.split(key)
        state, critic_metrics = update_critic(parts, critic_key, state, batch, world)
        state, actor_metrics = update_actor(parts, actor_key, state, join(batch))
        return state, critic_metrics | actor_metrics

    def begin_at(state: SacState, policy: PolicyParams) -> SacState:
        return state._replace(policy=with_spread(policy, gaussian_log_std(config.target_entropy_per_dim)))

    return Sac(partial(init_state, parts), update, parts.q, parts.sample, begin_at)


def init_state(parts: Parts, key: Array, normaliser: Normaliser) -> SacState:
    """Fresh networks and optimisers; the key is consumed."""
    config = parts.config
    actor_key, critic_key = jax.random.split(key)
    policy = init_policy(make_actor(config, parts.action_dim), actor_key, normaliser)
    obs_dim = normaliser.mean.shape[0]
    critics = Critics(config.hidden, config.critics, config.layer_norm)
    critic = critics.init(critic_key, jnp.zeros((1, obs_dim)), jnp.zeros((1, parts.action_dim)))
    log_alpha = jnp.log(jnp.asarray(config.initial_alpha, jnp.float32))  # not weakly typed: an epoch compiles once
    return SacState(
        policy=policy,
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),  # its own buffers, so that the state can be donated
        log_alpha=log_alpha,
        actor_opt=parts.actor_adam.init(policy.actor),
        critic_opt=parts.critic_adam.init(critic),
        alpha_opt=parts.alpha_adam.init(log_alpha),
        regulariser=parts.regulariser.init(),
    )


def temperature(config: SacConfig, state: SacState) -> Array:
    """alpha as it is used, a scalar: capped where the settings ask for it."""
    alpha = jnp.exp(state.log_alpha)
    return alpha if config.max_alpha is None else jnp.minimum(alpha, config.max_alpha)


def update_critic(parts: Parts, key: Array, state: SacState, batch: Batch, world: Params) -> tuple[SacState, Metrics]:
    """One step of the critics towards the soft target, and of the target critics after them."""
    config, regulariser = parts.config, parts.regulariser
    rows, normaliser = join(batch), state.policy.normaliser
    next_key, regulariser_key = jax.random.split(key)
    next_action, next_log_prob = parts.sample(state.policy, next_key, rows.next_obs)
    next_q = parts.q(state.target_critic, normaliser, rows.next_obs, next_action)
    alpha = 0.0 if config.deterministic_backup else temperature(config, state)
    target = soft_td_target(rows.reward, rows.terminated, next_q, next_log_prob, discount=config.discount, alpha=alpha)
    target, backup_metrics = parts.backup(jax.random.fold_in(key, BACKUP_STREAM), state, batch, world, target)

    def loss_fn(critic: Params) -> tuple[Array, tuple]:
        values = parts.q(critic, normaliser, rows.obs, rows.action)
        extra, aux = regulariser.loss(regulariser_key, state, critic, batch)
        loss = td_loss(values, target)
        return loss + extra, (loss, jnp.mean(values), aux)

    grads, (loss, value, aux) = jax.grad(loss_fn, has_aux=True)(state.critic)
    updates, critic_opt = parts.critic_adam.update(grads, state.critic_opt)
    critic = optax.apply_updates(state.critic, updates)
    regulariser_state, extra_metrics = regulariser.update(state.regulariser, aux)
    state = state._replace(
        critic=critic,
        critic_opt=critic_opt,
        target_critic=polyak_average(state.target_critic, critic, config.polyak),
        regulariser=regulariser_state,
    )
    return state, {"critic_loss": loss, "q": value} | extra_metrics | backup_metrics


def update_actor(parts: Parts, key: Array, state: SacState, rows: Transition) -> tuple[SacState, Metrics]:
    """One step of the actor and of the temperature."""
    normaliser, alpha = state.policy.normaliser, temperature(parts.config, state)
    target_entropy = parts.config.target_entropy_per_dim * parts.action_dim

    def loss_fn(params: Params) -> tuple[Array, Array]:
        action, log_prob = parts.sample(PolicyParams(params, normaliser), key, rows.obs)
        return soft_policy_loss(log_prob, parts.q(state.critic, normaliser, rows.obs, action), alpha), log_prob

    (loss, log_prob), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.policy.actor)
    updates, actor_opt = parts.actor_adam.update(grads, state.actor_opt)
    alpha_grad = jax.grad(temperature_loss)(state.log_alpha, log_prob, target_entropy)
    alpha_updates, alpha_opt = parts.alpha_adam.update(alpha_grad, state.alpha_opt)
    state = state._replace(
        policy=state.policy._replace(actor=optax.apply_updates(state.policy.actor, updates)),
        actor_opt=actor_opt,
        log_alpha=optax.apply_updates(state.log_alpha, alpha_updates),
        alpha_opt=alpha_opt,
    )
    return state, {"actor_loss": loss, "entropy": -jnp.mean(log_prob), "alpha": alpha}
