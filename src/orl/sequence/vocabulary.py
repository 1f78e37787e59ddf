"""Tokens in and logits out: an embedding table and a head for every dimension of a transition."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import normal

from orl.sequence.layout import Layout
from orl.types import Array

INIT_STD = 0.02


class Vocabulary(nn.Module):
    """Embedding tables [D, V, width] and heads [D, width, V]; with `fixed_value`, one constant at value positions."""

    layout: Layout
    vocab: int
    width: int
    fixed_value: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        init, dims = normal(INIT_STD), self.layout.dims
        self.tables = self.param("tables", init, (dims, self.vocab, self.width))
        self.value_embedding = self.param("value_embedding", init, (self.width,))
        self.heads = self.param("heads", init, (dims, self.width, self.vocab))

    def embed(self, tokens: Array, dims: Array) -> Array:
        """[..., width] of tokens [...] whose dimensions are `dims`, broadcast against them."""
        return self.fix_values(self.tables[dims, tokens], dims).astype(self.dtype)

    def embed_mixture(self, weights: Array, dim: Array) -> Array:
        """[R, width] mean embedding of a relaxed token with `weights` [R, V] of dimension `dim`."""
        return self.fix_values(weights @ self.tables[dim], dim).astype(self.dtype)

    def fix_values(self, embedded: Array, dims: Array) -> Array:
        """`embedded` with the constant at value positions, where that is how the model was built."""
        if not self.fixed_value:
            return embedded
        return jnp.where((dims == self.layout.value)[..., None], self.value_embedding, embedded)

    def all_logits(self, hidden: Array) -> Array:
        """[B, T, V] each position's logits by the head of the dimension that follows it; hidden [B, T, width]."""
        batch, length, _ = hidden.shape
        dims = self.layout.dims
        whole = -(-length // dims) * dims
        padded = jnp.pad(hidden, ((0, 0), (0, whole - length), (0, 0))).reshape(batch, -1, dims, self.width)
        heads = jnp.roll(self.heads, -1, axis=0).astype(self.dtype)
        # one product a dimension: XLA's CPU backend refuses the batched one of bfloat16 into float32
        by_dim = jax.vmap(lambda x, head: jnp.dot(x, head, preferred_element_type=jnp.float32), (2, 0), 2)
        logits = by_dim(padded, heads)
        return logits.reshape(batch, whole, self.vocab)[:, :length]

    def logits(self, hidden: Array, dim: Array) -> Array:
        """[R, V] logits of a token of dimension `dim` from the hidden state [R, width] before it."""
        head = jax.lax.dynamic_index_in_dim(self.heads, dim, keepdims=False)
        return jnp.dot(hidden, head.astype(self.dtype), preferred_element_type=jnp.float32)
