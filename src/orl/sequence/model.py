"""The density model of trajectories, whichever network computes it: one interface for the fit and for every planner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from orl.errors import UsageError
from orl.networks import forward
from orl.sequence import gpt_decoding, lstm
from orl.sequence.config import TransformerConfig
from orl.sequence.discretiser import Discretiser
from orl.sequence.gpt import GPT, MASKED
from orl.sequence.layout import Layout
from orl.sequence.lstm import LSTM
from orl.types import Array, Params

Cache = Any  # what has been read; opaque to planners


class SequenceParams(NamedTuple):
    """Everything a fitted model is made of; a pytree."""

    net: Params
    discretiser: Discretiser


@dataclass(frozen=True)
class SequenceModel:
    """The shape of a model: pure functions of `SequenceParams`, hashable, free of arrays.

    Decoding reads tokens for R rows, ordered episode by episode. `start` reads the context; `fork` makes each row
    several that share what was read; `feed` reads a token a row; `adopt` keeps some rows. A fork must be fed as many
    tokens as it has room for before the next `fork` or `adopt`.
    """

    config: TransformerConfig
    obs_dim: int
    action_dim: int

    def __post_init__(self) -> None:
        if self.config.arch == "lstm" and self.config.value_input == "token":
            raise UsageError(
                'model.value_input = "token" would let an LSTM carry value tokens along for ever; use "fixed" with it'
            )

    @property
    def layout(self) -> Layout:
        """The order of the tokens."""
        return Layout(self.obs_dim, self.action_dim)

    @property
    def decoding(self) -> Any:
        """The functions start, fork, feed and adopt of that network."""
        return lstm if self.config.arch == "lstm" else gpt_decoding

    @property
    def network(self) -> Any:
        """The flax module, a `GPT` or an `LSTM`."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        if config.arch == "lstm":
            return LSTM(self.layout, config.bins, config.layers, config.width, config.dropout, dtype)
        return GPT(
            self.layout,
            config.bins,
            config.window,
            config.layers,
            config.heads,
            config.width,
            config.dropout,
            config.value_input == "fixed",
            dtype,
        )

    def init(self, key: Array, discretiser: Discretiser) -> SequenceParams:
        """Fresh parameters. The key is consumed."""
        return SequenceParams(self.network.init(key, jnp.zeros((1, self.layout.dims), jnp.int32)), discretiser)

    def logits(self, params: SequenceParams, tokens: Array, key: Array | None = None) -> Array:
        """[B, T, V] logits of the token after each of tokens [B, T], which begin a transition; bins not in use get
        none. With a key, dropout is on; the key is consumed.
        """
        logits = forward(self.network, params.net, tokens, key)
        following = (jnp.arange(tokens.shape[1]) + 1) % self.layout.dims
        return jnp.where(params.discretiser.in_use()[following], logits, MASKED)

    def next_logits(self, params: SequenceParams, hidden: Array, dim: Array | int) -> Array:
        """[R, V] logits of the next token, of dimension `dim`, from the hidden state [R, width] before it."""
        module = self.network
        logits = forward(module, params.net, hidden, jnp.asarray(dim), method=type(module).logits)
        return jnp.where(params.discretiser.in_use()[dim], logits, MASKED)

    def start(self, params: SequenceParams, tokens: Array, padding: Array) -> tuple[Cache, Array]:
        """Read tokens [B, T] that begin a transition, the first `padding` [B] (whole transitions) not there.

        Returns the cache of B rows and the hidden state [B, width] after the last token.
        """
        return self.decoding.start(self.network, params.net, tokens, padding)

    def fork(self, cache: Cache, hidden: Array, times: int, room: int) -> tuple[Cache, Array]:
        """Each of R rows `times` over, with room for `room` tokens; hidden states [R, width] likewise."""
        forked = self.decoding.fork(self.network, cache, hidden.shape[0], times, room)
        return forked, jnp.repeat(hidden, times, axis=0)

    def feed(self, params: SequenceParams, cache: Cache, tokens: Array) -> tuple[Cache, Array]:
        """Read one token [R] a row; returns the hidden state [R, width] after it.

        A float array [R, V] is a relaxed token: weights of the tokens whose embeddings are averaged.
        """
        return self.decoding.feed(self.network, params.net, cache, tokens)

    def adopt(self, cache: Cache, hidden: Array, rows: Array) -> tuple[Cache, Array]:
        """Of the cache and the hidden states [R, width] the `rows` [N] alone, in that order."""
        return self.decoding.adopt(cache, rows), hidden[rows]
