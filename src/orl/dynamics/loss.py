"""The ensemble's loss, equation by equation (MBPO/MOPO lineage: arXiv:2005.13239, after PETS arXiv:1805.12114)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from orl.types import Array, Params


def soft_clamp(log_var: Array, low: Array, high: Array) -> Array:
    """Log-variance squeezed smoothly and monotonically into (low, high); all [..., D].

    It may exceed `high` by about softplus(low - high), 3e-5 at the usual bounds, because the lower clamp comes second.
    """
    log_var = high - jax.nn.softplus(high - log_var)
    return low + jax.nn.softplus(log_var - low)


def member_nll(mean: Array, log_var: Array, target: Array) -> Array:
    """[E] mean over rows and dimensions of (mean - y)^2 exp(-log_var) + log_var; all [E, B, D].

    Twice the Gaussian negative log-likelihood without its constant, as in the official code.
    """
    return jnp.mean((mean - target) ** 2 * jnp.exp(-log_var) + log_var, axis=(1, 2))


def gaussian_nll(mean: Array, log_var: Array, target: Array) -> Array:
    """Sum over members of their `member_nll`; all [E, B, D]."""
    return jnp.sum(member_nll(mean, log_var, target))


def bound_penalty(low: Array, high: Array, weight: float) -> Array:
    """weight * (sum(high) - sum(low)): keeps the learned log-variance bounds [D] from drifting apart."""
    return weight * (jnp.sum(high) - jnp.sum(low))


def weight_decay(net: Params, decays: Sequence[float]) -> Array:
    """sum over layers of decay_l * 0.5 * ||W_l||^2, W_l [E, in, out]: over all members, weights only (no biases)."""
    layers = sorted(net["params"], key=lambda name: int(name.rsplit("_", 1)[1]))
    terms = [
        decay * 0.5 * jnp.sum(net["params"][name]["kernel"] ** 2) for name, decay in zip(layers, decays, strict=True)
    ]
    return jnp.sum(jnp.stack(terms))


def termination_loss(logit: Array, terminated: Array) -> Array:
    """Mean binary cross-entropy of the termination head; logit [B], terminated [B] in {0, 1}. Unweighted, so that
    the head's probabilities stay calibrated and 0.5 is the threshold with the fewest errors."""
    return jnp.mean(jax.nn.softplus(logit) - terminated * logit)
