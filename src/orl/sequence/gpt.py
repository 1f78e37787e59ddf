"""The GPT of the Trajectory Transformer: its blocks, and what one pass over whole windows computes.

Causal, pre-norm, one embedding table and one head a dimension; no token attends to a value token.

Reference: Trajectory Transformer, arXiv:2106.02039. Departs, unless `value_input` is "token": value positions get a
learned constant instead of the token's embedding. The reference hides value tokens from attention only, and each still
reaches the next token's logits through its own residual stream.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import normal, zeros_init

from orl.sequence.dropout import dropout
from orl.sequence.layout import Layout
from orl.sequence.vocabulary import INIT_STD, Vocabulary
from orl.types import Array

MASKED = -1e30


class Block(nn.Module):
    """One transformer block, split around the attention so that a cache can stand in its middle."""

    width: int
    heads: int
    dtype: jnp.dtype

    def setup(self) -> None:
        def dense(features: int) -> nn.Dense:
            return nn.Dense(features, dtype=self.dtype, kernel_init=normal(INIT_STD), bias_init=zeros_init())

        self.attention_norm, self.mlp_norm = nn.LayerNorm(dtype=self.dtype), nn.LayerNorm(dtype=self.dtype)
        self.qkv, self.project = dense(3 * self.width), dense(self.width)
        self.expand, self.contract = dense(4 * self.width), dense(self.width)

    def project_in(self, x: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values [..., heads, width/heads] of x [..., width]; queries already scaled."""
        parts = self.qkv(self.attention_norm(x)).reshape(*x.shape[:-1], 3, self.heads, self.width // self.heads)
        query, key, value = parts[..., 0, :, :], parts[..., 1, :, :], parts[..., 2, :, :]
        return query * (self.width // self.heads) ** -0.5, key, value

    def project_out(self, x: Array, mixed: Array, keys: tuple[Array, Array] | None = None, rate: float = 0.0) -> Array:
        """The block's output from its input [..., width] and what attention mixed [..., heads, width/heads]."""
        attended = self.project(mixed.reshape(x.shape))
        x = x + dropout(keys and keys[0], attended, rate)
        grown = self.contract(nn.gelu(self.expand(self.mlp_norm(x))))
        return x + dropout(keys and keys[1], grown, rate)


class GPT(nn.Module):
    """Logits of every next token. `window` is in transitions."""

    layout: Layout
    vocab: int
    window: int
    layers: int
    heads: int
    width: int
    dropout: float
    fixed_value: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        self.vocabulary = Vocabulary(self.layout, self.vocab, self.width, self.fixed_value, self.dtype)
        self.positions = self.param("positions", normal(INIT_STD), (self.window * self.layout.dims, self.width))
        self.blocks = [Block(self.width, self.heads, self.dtype) for _ in range(self.layers)]
        self.norm = nn.LayerNorm(dtype=self.dtype)

    def __call__(self, tokens: Array, key: Array | None = None) -> Array:
        """Logits [B, T, V] of the token *after* each of tokens [B, T], which begin a transition.

        With a key, dropout is on; the key is consumed.
        """
        length = tokens.shape[1]
        places = jnp.arange(length)
        keys = None if key is None else jax.random.split(key, 3 * self.layers + 1)
        x = self.embed(tokens, places % self.layout.dims, places)
        x = dropout(None if keys is None else keys[-1], x, self.dropout)
        bias = jnp.where(attention_mask(length, self.layout), 0.0, MASKED)
        for index, block in enumerate(self.blocks):
            mine = None if keys is None else (keys[3 * index], keys[3 * index + 1], keys[3 * index + 2])
            query, key_, value = block.project_in(x)
            mixed = attend(query, key_, value, bias, mine and mine[2], self.dropout)
            x = block.project_out(x, mixed, mine and mine[:2], self.dropout)
        return self.vocabulary.all_logits(self.norm(x))

    def embed(self, tokens: Array, dims: Array, positions: Array) -> Array:
        """Embedding [..., width] of tokens of the given dimensions at the given places of the window."""
        return self.place(self.vocabulary.embed(tokens, dims), positions)

    def embed_mixture(self, weights: Array, dim: Array, positions: Array) -> Array:
        """As `embed` for relaxed tokens: weights [R, V] of one dimension."""
        return self.place(self.vocabulary.embed_mixture(weights, dim), positions)

    def place(self, embedded: Array, positions: Array) -> Array:
        """Embedded tokens [..., width] with the embedding of their places added."""
        return embedded + self.positions[positions].astype(self.dtype)

    def project_in(self, index: int, x: Array) -> tuple[Array, Array, Array]:
        """`Block.project_in` of block `index`, for x [..., width]."""
        return self.blocks[index].project_in(x)

    def project_out(self, index: int, x: Array, mixed: Array) -> Array:
        """`Block.project_out` of block `index`, for x [..., width], without dropout."""
        return self.blocks[index].project_out(x, mixed)

    def final_norm(self, x: Array) -> Array:
        """The LayerNorm before the heads, of x [..., width]."""
        return self.norm(x)

    def logits(self, hidden: Array, dim: Array) -> Array:
        """`Vocabulary.logits`: [R, V] of dimension `dim` from hidden states [R, width]."""
        return self.vocabulary.logits(hidden, dim)


def attention_mask(length: int, layout: Layout) -> Array:
    """[T, T] bool: query (row) may see key (column): not later, and not a value token.

    A value position sees what came before it, not itself.
    """
    places = np.arange(length)
    return jnp.asarray((places[:, None] >= places) & (places % layout.dims != layout.value))


def attend(query: Array, key: Array, value: Array, bias: Array, drop: Array | None, rate: float) -> Array:
    """Softmax attention over whole windows: query, key, value [B, T, heads, d] -> [B, T, heads, d]."""
    # heads first: batched products whose rows are not strided took four fifths of the time on two CPU cores
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = dropout(drop, jax.nn.softmax(scores + bias, axis=-1), rate)
    return jnp.swapaxes(jnp.einsum("bhqk,bhkd->bhqd", weights.astype(value.dtype), value), 1, 2)
