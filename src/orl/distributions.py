"""Densities used by policies and models. Log-densities are in nats and sum over the last axis.

Reference: the tanh-squashed Gaussian of SAC, arXiv:1812.05905, appendix C.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from orl.types import Array

LOG_2PI = math.log(2.0 * math.pi)
LOG_2 = math.log(2.0)


def gaussian_log_prob(x: Array, mean: Array, log_std: Array) -> Array:
    """log N(x; mean, diag(exp(log_std)^2)), summed over the last axis: [..., D] -> [...]."""
    z = (x - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * z**2 - log_std - 0.5 * LOG_2PI, axis=-1)


def log_tanh_slope(u: Array) -> Array:
    """log(1 - tanh(u)^2), elementwise, in the form that stays exact where tanh saturates."""
    return 2.0 * (LOG_2 - u - jax.nn.softplus(-2.0 * u))


def sample_tanh_gaussian(key: Array, mean: Array, log_std: Array) -> tuple[Array, Array]:
    """An action tanh(u), u ~ N(mean, std), and its log-density in action space.

    Args:
        key: PRNG key, consumed.
        mean, log_std: [..., A] of the Gaussian before squashing.

    Returns:
        action [..., A] in (-1, 1) and log pi(action) [...].

    Reference: SAC, arXiv:1812.05905 (change of variables); the density is evaluated at u itself,
    so no inverse of tanh is needed.
    """
    u = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
    log_prob = gaussian_log_prob(u, mean, log_std) - jnp.sum(log_tanh_slope(u), axis=-1)
    return jnp.tanh(u), log_prob


def tanh_gaussian_log_prob(action: Array, mean: Array, log_std: Array, margin: float = 1e-5) -> Array:
    """log pi(action) [...] of a given action [..., A] in [-1, 1]; the border is pulled in by `margin`.

    Logged actions often sit exactly on the bound, where the density of a squashed Gaussian is not finite.
    """
    u = jnp.arctanh(jnp.clip(action, -1.0 + margin, 1.0 - margin))
    return gaussian_log_prob(u, mean, log_std) - jnp.sum(log_tanh_slope(u), axis=-1)
