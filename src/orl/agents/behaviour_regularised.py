"""Losses that hold an actor and its critic near actions that are known, and the behaviour cloned to know some.

Reference: ReBRAC, arXiv:2305.09836: a behaviour cloning term in the actor's loss and another one in the target.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from orl.agents.actor import PolicyParams, cloning_loss, init_policy, make_act
from orl.data.normalise import Normaliser
from orl.networks import Actor
from orl.types import Array, NextAction, Params, Transition

CLONE_STEPS, CLONE_BATCH, CLONE_RATE = 3000, 256, 1e-3


class Anchors(NamedTuple):
    """Actions to stay near: `here` [B, A] at the rows' observations, `next` at their next observations."""

    here: Array
    next: NextAction


def behaviour_distance(action: Array, anchor: Array) -> Array:
    """[...] squared Euclidean distance of actions [..., A], whose range is [-1, 1], from their anchors."""
    return jnp.sum((action - anchor) ** 2, axis=-1)


def regularised_td_target(
    reward: Array, terminated: Array, next_q: Array, distance: Array, *, discount: float, weight: float
) -> Array:
    """y = r + discount * (1 - terminated) * (min_k Q_k(s', a') - weight * ||a' - next anchor||^2).

    Args:
        reward, terminated: [B]. next_q: [K, B] of the target critics at a'.
        distance: [B] of a' from the next anchor, 0 where that is unknown. weight: beta_2 of ReBRAC.
    """
    value = jnp.min(next_q, axis=0) - weight * distance
    return jax.lax.stop_gradient(reward + discount * (1.0 - terminated) * value)


def regularised_policy_loss(q: Array, distance: Array, *, q_scale: Array | float, weight: float) -> Array:
    """mean(weight * ||pi(s) - anchor||^2 - q_scale * min_k Q_k(s, pi(s))); q [K, B], distance [B].

    `weight` is beta_1 and `q_scale` lambda of ReBRAC.
    """
    return jnp.mean(weight * distance - q_scale * jnp.min(q, axis=0))


def inverse_magnitude(q: Array) -> Array:
    """1 / mean |min_k Q_k| of q [K, B], without gradient: lambda of TD3+BC (arXiv:2106.06860) at alpha 1."""
    return jax.lax.stop_gradient(1.0 / jnp.maximum(jnp.mean(jnp.abs(jnp.min(q, axis=0))), 1e-6))


def smoothed_action(key: Array, action: Array, noise: float, clip: float) -> Array:
    """action [..., A] plus clipped Gaussian noise, inside [-1, 1]: TD3's target policy smoothing (arXiv:1802.09477)."""
    epsilon = jnp.clip(noise * jax.random.normal(key, action.shape), -clip, clip)
    return jnp.clip(action + epsilon, -1.0, 1.0)


def clone_behaviour(actor: Actor, key: Array, normaliser: Normaliser, logged: Transition) -> PolicyParams:
    """The policy whose mode regresses the logged actions on the observations, as `bc` does; the key is consumed.

    Args:
        actor: the network. normaliser: of observations. logged: [N, ...] rows.
    """
    act, adam = make_act(actor), optax.adam(optax.cosine_decay_schedule(CLONE_RATE, CLONE_STEPS))
    init_key, key = jax.random.split(key)
    policy = init_policy(actor, init_key, normaliser)

    def loss(params: Params, rows: Array) -> Array:
        return cloning_loss(act(PolicyParams(params, normaliser), None, logged.obs[rows]), logged.action[rows])

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        params, state = carry
        grads = jax.grad(loss)(params, jax.random.randint(key, (CLONE_BATCH,), 0, logged.reward.shape[0]))
        updates, state = adam.update(grads, state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(update, (policy.actor, adam.init(policy.actor)), jax.random.split(key, CLONE_STEPS))
    return policy._replace(actor=params)
