"""Targets and losses of the critics."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from orl.types import Array, Params


def soft_td_target(
    reward: Array, terminated: Array, next_q: Array, next_log_prob: Array, *, discount: float, alpha: Array | float
) -> Array:
    """y = r + discount * (1 - terminated) * (min_k Q_k(s', a') - alpha * log pi(a'|s')).

    Args:
        reward, terminated, next_log_prob: [B]. next_q: [K, B] of the target critics at a' ~ pi(s').
        alpha: temperature; 0 gives the deterministic backup.

    Reference: SAC, arXiv:1812.05905, with the minimum over the target critics.
    """
    value = jnp.min(next_q, axis=0) - alpha * next_log_prob
    return jax.lax.stop_gradient(reward + discount * (1.0 - terminated) * value)


def td_loss(q: Array, target: Array) -> Array:
    """Sum over critics of 0.5 * mean((Q - y)^2); q [K, B], target [B].

    Reference: the soft Bellman residual of SAC, arXiv:1812.05905.
    """
    return 0.5 * jnp.sum(jnp.mean((q - target) ** 2, axis=-1))


def polyak_average(target: Params, online: Params, share: float) -> Params:
    """(1 - share) * target + share * online, leaf by leaf."""
    return jax.tree.map(lambda t, o: (1.0 - share) * t + share * o, target, online)
