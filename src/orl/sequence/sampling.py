"""Which token comes next: filters that never leave nothing, and draws that do not depend on who else draws."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from orl.sequence.gpt import MASKED
from orl.types import Array


@dataclass(frozen=True)
class Filter:
    """What is kept of a distribution before a token is drawn.

    Attributes:
        top_k: the k most likely tokens, 0 for all; 1 is greedy.
        cdf: the least likely tokens are dropped while their mass together stays below this (as the reference): 0.6
            keeps roughly the most likely 40%. 0 drops nothing.
        temperature: logits are divided by it, after which the two above apply.
    """

    top_k: int = 0
    cdf: float = 0.0
    temperature: float = 1.0


def filtered(logits: Array, keep: Filter) -> Array:
    """Logits [..., V] after temperature and filters; equally likely tokens share their fate, the best one stays."""
    logits = logits / keep.temperature
    if not keep.top_k and not keep.cdf:
        return logits
    at_most = logits[..., None, :] <= logits[..., :, None]  # [..., i, j]: token j is no likelier than token i
    kept = jnp.ones(logits.shape, bool)
    if keep.top_k:
        kept &= jnp.sum(~at_most, axis=-1) < keep.top_k
    if keep.cdf:
        mass = jnp.sum(jnp.where(at_most, jax.nn.softmax(logits)[..., None, :], 0.0), axis=-1)
        kept &= mass >= keep.cdf
    kept |= logits == jnp.max(logits, axis=-1, keepdims=True)
    return jnp.where(kept, logits, MASKED)


def draw(keys: Array, logits: Array, keep: Filter) -> Array:
    """[R] int32 tokens from logits [R, V] of B episodes, whose keys [B] are consumed; greedy where `top_k` is 1.

    A row's draw depends on its episode's key and its own place in the episode only.
    """
    if keep.top_k == 1:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    rows = logits.shape[0] // keys.shape[0]
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (rows,)))(keys).reshape(-1)
    return inverse_cdf(jax.nn.softmax(filtered(logits, keep)), uniform)


def inverse_cdf(probs: Array, uniform: Array) -> Array:
    """[R] int32: the token of probs [R, V] at which the running sum first exceeds uniform [R] in [0, 1).

    The sum is a matrix product, which is cheaper than drawing a number for every token; a token of probability zero
    adds exactly nothing to it and is never drawn.
    """
    running = probs @ jnp.triu(jnp.ones((probs.shape[-1],) * 2, probs.dtype))
    return jnp.sum(running <= uniform[:, None] * running[:, -1:], axis=-1).astype(jnp.int32)


def expectation(logits: Array, centres: Array) -> Array:
    """[...] mean of `centres` [V] under the unfiltered distribution of logits [..., V]."""
    return jax.nn.softmax(logits) @ centres


def log_prob(logits: Array, tokens: Array) -> Array:
    """[...] log-probability of tokens [...] under the unfiltered distribution of logits [..., V]."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]


def fold_in(keys: Array, data: Array | int) -> Array:
    """[B] keys of a later draw, one an episode."""
    return jax.vmap(lambda key: jax.random.fold_in(key, data))(keys)
