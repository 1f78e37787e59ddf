"""The conservative regulariser shared by CQL (arXiv:2006.04779) and COMBO (arXiv:2102.08363).

Scale: the losses here carry the papers' 0.5 before the squared TD error. Implementations with a plain mean square
(OfflineRL-Kit among them) use twice the weight for the same effect.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from orl.types import Array


def importance_logsumexp(q: Array, log_density: Array, temperature: float = 1.0) -> Array:
    """Estimate of temperature * log integral over [-1, 1]^A of exp(Q(s, a) / temperature) da.

    Args:
        q: [..., N] values of N sampled actions per state. log_density: [..., N] log-density each was drawn with.

    Every sample is an unbiased estimate exp(Q/t) / density of the integral, so the samples of several proposals
    can be averaged together; all N are joined in ONE log-sum-exp and log N is subtracted.
    """
    weighted = q / temperature - log_density
    return temperature * (jax.nn.logsumexp(weighted, axis=-1) - math.log(q.shape[-1]))


def uniform_log_density(action_dim: int) -> float:
    """log-density of the uniform distribution on [-1, 1]^A: -A log 2."""
    return -action_dim * math.log(2.0)


def conservative_gap(q_sampled: Array, log_density: Array, q_logged: Array, temperature: float = 1.0) -> Array:
    """[K]: mean over states of the soft maximum of Q, less the mean Q of the logged state-actions.

    Args:
        q_sampled: [K, B, N] values at the states rho(s). log_density: [B, N]. q_logged: [K, R] at logged pairs.

    Reference: COMBO, arXiv:2102.08363, with the maximum-entropy choice of rho(a|s); CQL(H), arXiv:2006.04779.
    """
    soft_max = importance_logsumexp(q_sampled, log_density, temperature)
    return jnp.mean(soft_max, axis=-1) - jnp.mean(q_logged, axis=-1)


def expectation_gap(q_rho: Array, q_logged: Array) -> Array:
    """[K]: E_{s,a ~ rho}[Q] - E_{s,a ~ D}[Q], the bare form of COMBO's regulariser; q_rho [K, B], q_logged [K, R]."""
    return jnp.mean(q_rho, axis=-1) - jnp.mean(q_logged, axis=-1)


def lagrange_loss(log_weight: Array, gap: Array, threshold: float) -> Array:
    """Loss whose descent raises the weight while the mean gap [K] exceeds `threshold` and lowers it otherwise."""
    return -jnp.exp(log_weight) * (jax.lax.stop_gradient(jnp.mean(gap)) - threshold)
