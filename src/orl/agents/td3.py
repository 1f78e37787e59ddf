"""TD3 as pure functions over one state, held near given actions: the agent of ReBRAC and MoBRAC.

References: TD3, arXiv:1802.09477 (twin critics, target policy smoothing, delayed actor); ReBRAC, arXiv:2305.09836.
Departs from ReBRAC's code: LayerNorm comes before the activation, as in every network here. The actor's network is the
one of all policies here, of which the spread is not used, so that it can begin as a cloned policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from orl.agents.actor import PolicyParams, actor_optimiser, init_policy, make_act, make_actor
from orl.agents.behaviour_regularised import (
    Anchors,
    behaviour_distance,
    inverse_magnitude,
    regularised_policy_loss,
    regularised_td_target,
    smoothed_action,
)
from orl.agents.config import Td3Config
from orl.agents.critic import polyak_average, td_loss
from orl.data.normalise import Normaliser
from orl.networks import Critics, forward
from orl.types import ActFn, Array, Metrics, Params, Transition


class Td3State(NamedTuple):
    """Networks and optimisers.

    `updates` of the critics so far, a scalar; `actor_metrics` of the last update of the actor.
    """

    policy: PolicyParams
    target_actor: Params
    critic: Params
    target_critic: Params
    actor_opt: optax.OptState
    critic_opt: optax.OptState
    updates: Array
    actor_metrics: Metrics


class Td3(NamedTuple):
    """The parts algorithms are built from: `init(key, normaliser)`, `update(key, state, rows, anchors)`, `act`."""

    init: Callable[[Array, Normaliser], Td3State]
    update: Callable[[Array, Td3State, Transition, Anchors], tuple[Td3State, Metrics]]
    act: ActFn


def make_noisy_act(mode: ActFn, noise: float) -> ActFn:
    """The deterministic policy; with a key plus Gaussian noise of spread `noise`, inside [-1, 1], TD3's exploration."""

    def act(params: PolicyParams, key: Array | None, obs: Array) -> Array:
        action = mode(params, None, obs)
        if key is None:
            return action
        return jnp.clip(action + noise * jax.random.normal(key, action.shape), -1.0, 1.0)

    return act


def begin_at(state: Td3State, policy: PolicyParams) -> Td3State:
    """The state with this policy as its actor and its target actor."""
    return state._replace(policy=policy, target_actor=jax.tree.map(jnp.copy, policy.actor))


def make_td3(config: Td3Config, action_dim: int, total_updates: int) -> Td3:
    """TD3 for a problem of `action_dim` actions, trained for `total_updates` updates of its critics."""
    actor, critics = make_actor(config, action_dim), Critics(config.hidden, config.critics, config.critic_layer_norm)
    mode = make_act(actor)
    actor_adam = actor_optimiser(config, -(-total_updates // config.actor_every))
    critic_adam = optax.adam(config.critic_learning_rate)

    def q(critic: Params, normaliser: Normaliser, obs: Array, action: Array) -> Array:
        return forward(critics, critic, normaliser.apply(obs), action)

    def init(key: Array, normaliser: Normaliser) -> Td3State:
        actor_key, critic_key = jax.random.split(key)
        policy = init_policy(actor, actor_key, normaliser)
        critic = critics.init(critic_key, jnp.zeros((1, normaliser.mean.shape[0])), jnp.zeros((1, action_dim)))
        return Td3State(
            policy=policy,
            target_actor=jax.tree.map(jnp.copy, policy.actor),  # its own buffers, so that the state can be donated
            critic=critic,
            target_critic=jax.tree.map(jnp.copy, critic),
            actor_opt=actor_adam.init(policy.actor),
            critic_opt=critic_adam.init(critic),
            updates=jnp.asarray(0, jnp.int32),
            actor_metrics={"actor_loss": jnp.zeros(()), "behaviour_distance": jnp.zeros(())},
        )

    def update_critic(key: Array, state: Td3State, rows: Transition, anchors: Anchors) -> tuple[Td3State, Metrics]:
        normaliser = state.policy.normaliser
        target_policy = PolicyParams(state.target_actor, normaliser)
        next_action = mode(target_policy, None, rows.next_obs)
        next_action = smoothed_action(key, next_action, config.policy_noise, config.noise_clip)
        next_q = q(state.target_critic, normaliser, rows.next_obs, next_action)
        target = regularised_td_target(
            rows.reward,
            rows.terminated,
            next_q,
            anchors.next.known * behaviour_distance(next_action, anchors.next.action),
            discount=config.discount,
            weight=config.critic_bc_coef,
        )

        def loss_fn(critic: Params) -> tuple[Array, Array]:
            values = q(critic, normaliser, rows.obs, rows.action)
            return td_loss(values, target), jnp.mean(values)

        (loss, value), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.critic)
        updates, critic_opt = critic_adam.update(grads, state.critic_opt)
        state = state._replace(critic=optax.apply_updates(state.critic, updates), critic_opt=critic_opt)
        return state, {"critic_loss": loss, "q": value}

    def update_actor(state: Td3State, rows: Transition, anchors: Anchors) -> Td3State:
        """The actor's step, then both target networks'."""
        normaliser = state.policy.normaliser

        def loss_fn(params: Params) -> tuple[Array, Array]:
            action = mode(PolicyParams(params, normaliser), None, rows.obs)
            values, distance = q(state.critic, normaliser, rows.obs, action), behaviour_distance(action, anchors.here)
            scale = inverse_magnitude(values) if config.normalise_q else 1.0
            loss = regularised_policy_loss(values, distance, q_scale=scale, weight=config.actor_bc_coef)
            return loss, jnp.mean(distance)

        (loss, distance), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.policy.actor)
        updates, actor_opt = actor_adam.update(grads, state.actor_opt)
        params = optax.apply_updates(state.policy.actor, updates)
        return state._replace(
            policy=state.policy._replace(actor=params),
            target_actor=polyak_average(state.target_actor, params, config.polyak),
            target_critic=polyak_average(state.target_critic, state.critic, config.polyak),
            actor_opt=actor_opt,
            actor_metrics={"actor_loss": loss, "behaviour_distance": distance},
        )

    def update(key: Array, state: Td3State, rows: Transition, anchors: Anchors) -> tuple[Td3State, Metrics]:
        due = state.updates % config.actor_every == 0
        state, metrics = update_critic(key, state, rows, anchors)
        state = jax.lax.cond(due, lambda state: update_actor(state, rows, anchors), lambda state: state, state)
        return state._replace(updates=state.updates + 1), metrics | state.actor_metrics

    return Td3(init, update, make_noisy_act(mode, config.exploration_noise))
