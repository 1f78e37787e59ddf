"""Dropout that draws 16 random bits a number instead of 32: half the work of the largest cost beside the products."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from orl.types import Array

LEVELS = 2**16


def dropout(key: Array | None, x: Array, rate: float) -> Array:
    """`x`, of any shape, with each number zero with probability `rate` (to 1/65536), else scaled up: its mean stays.

    Without a key `x` itself. The key is consumed.
    """
    threshold = min(round(rate * LEVELS), LEVELS - 1)
    if key is None or threshold == 0:
        return x
    words = jax.random.bits(key, (-(-x.size // 2),), jnp.uint32)
    bits = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[: x.size].reshape(x.shape)
    return jnp.where(bits >= threshold, x * (LEVELS / (LEVELS - threshold)), 0.0).astype(x.dtype)
