"""An LSTM over the same tokens: any autoregressive density model will do, and this is the other one."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from orl.networks import forward
from orl.sequence.dropout import dropout
from orl.sequence.layout import Layout
from orl.sequence.vocabulary import Vocabulary
from orl.types import Array, Params


class Cache(NamedTuple):
    """What R rows have read: each layer's (cell, hidden) [R, width], and how many tokens that was."""

    carry: tuple[tuple[Array, Array], ...]
    place: Array


class LSTM(nn.Module):
    """Logits of every next token, from stacked LSTM layers with residual connections."""

    layout: Layout
    vocab: int
    layers: int
    width: int
    dropout: float
    dtype: jnp.dtype

    def setup(self) -> None:
        self.vocabulary = Vocabulary(self.layout, self.vocab, self.width, True, self.dtype)
        self.cells = [nn.OptimizedLSTMCell(self.width, dtype=self.dtype) for _ in range(self.layers)]
        self.norm = nn.LayerNorm(dtype=self.dtype)

    def __call__(self, tokens: Array, key: Array | None = None) -> Array:
        """Logits [B, T, V] of the token after each of tokens [B, T], which begin a transition.

        With a key, dropout is on; the key is consumed.
        """
        _, hidden = self.read(tokens, jnp.zeros(tokens.shape[0], jnp.int32), key)
        return self.vocabulary.all_logits(hidden)

    def read(self, tokens: Array, padding: Array, key: Array | None) -> tuple[tuple[tuple[Array, Array], ...], Array]:
        """(carry of each layer, normalised hidden states [B, T, width]); leading padding leaves the carry alone."""
        batch, length = tokens.shape
        places = jnp.arange(length)
        keys = None if key is None else jax.random.split(key, self.layers + 1)
        x = self.vocabulary.embed(tokens, jnp.broadcast_to(places % self.layout.dims, tokens.shape))
        x = dropout(None if keys is None else keys[-1], x, self.dropout)
        real = (places >= padding[:, None])[..., None]
        carries = []
        for index, cell in enumerate(self.cells):
            step = nn.scan(
                _masked_step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1
            )
            carry, out = step(cell, self.fresh_carry(batch), (x, real))
            x = x + dropout(None if keys is None else keys[index], out, self.dropout)
            carries.append(carry)
        return tuple(carries), self.norm(x)

    def read_one(
        self, carry: tuple[tuple[Array, Array], ...], tokens: Array, dim: Array
    ) -> tuple[tuple[tuple[Array, Array], ...], Array]:
        """One more token [R] (or relaxed one, [R, V]) a row: (carry, normalised hidden state [R, width])."""
        if tokens.ndim == 1:
            x = self.vocabulary.embed(tokens, jnp.full_like(tokens, dim))
        else:
            x = self.vocabulary.embed_mixture(tokens, dim)
        carries = []
        for cell, old in zip(self.cells, carry, strict=True):
            new, out = cell(old, x)
            x = x + out
            carries.append(new)
        return tuple(carries), self.norm(x)

    def fresh_carry(self, rows: int) -> tuple[Array, Array]:
        """What a layer starts from: two arrays [R, width] of zeros."""
        return jnp.zeros((rows, self.width), self.dtype), jnp.zeros((rows, self.width), self.dtype)

    def logits(self, hidden: Array, dim: Array) -> Array:
        """`Vocabulary.logits`: [R, V] of dimension `dim` from hidden states [R, width]."""
        return self.vocabulary.logits(hidden, dim)


def _masked_step(cell: nn.Module, carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple:
    x, real = inputs
    new, out = cell(carry, x)
    return jax.tree.map(lambda a, b: jnp.where(real, a, b), new, carry), out


def start(module: LSTM, params: Params, tokens: Array, padding: Array) -> tuple[Cache, Array]:
    """As `gpt_decoding.start`: tokens [B, T], of which the first `padding` [B] are not there."""
    carry, hidden = forward(module, params, tokens, padding, None, method=LSTM.read)
    return Cache(carry, jnp.asarray(tokens.shape[1])), hidden[:, -1]


def fork(module: LSTM, cache: Cache, rows: int, times: int, room: int) -> Cache:
    """As `gpt_decoding.fork`; a carry needs no room."""
    return cache._replace(carry=jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), cache.carry))


def feed(module: LSTM, params: Params, cache: Cache, tokens: Array) -> tuple[Cache, Array]:
    """As `gpt_decoding.feed`: one token [R] a row, or weights of tokens [R, V]."""
    dim = cache.place % module.layout.dims
    carry, hidden = forward(module, params, cache.carry, tokens, dim, method=LSTM.read_one)
    return Cache(carry, cache.place + 1), hidden


def adopt(cache: Cache, chosen: Array) -> Cache:
    """The cache of the rows `chosen` [N]."""
    return cache._replace(carry=jax.tree.map(lambda x: x[chosen], cache.carry))
