"""What every planner over a sequence model does: tell it the past, and let it go on, token by token."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.planning.base import History
from orl.sequence.model import Cache, SequenceModel, SequenceParams
from orl.sequence.sampling import Filter, draw, expectation, fold_in, log_prob
from orl.types import Array

GREEDY = Filter(top_k=1)


class Reader(NamedTuple):
    """R rows that have read so far; `log_prob` [R] is of all that was drawn since the start."""

    cache: Cache
    hidden: Array
    log_prob: Array


class Outcome(NamedTuple):
    """What rows expect of the step just read: reward and value [R], the tokens of both [R, 2] to go on with."""

    reward: Array
    value: Array
    tokens: Array


def history_tokens(model: SequenceModel, params: SequenceParams, history: History) -> tuple[Array, Array]:
    """Tokens [B, C, D] of the past transitions, and the tokens [B, O] of the current observation.

    Past value tokens nobody knows: as in the reference they are the highest bin. They are masked from attention, and
    with `value_input` "fixed" not even embedded.
    """
    discretiser, layout = params.discretiser, model.layout
    parts = jnp.concatenate([history.obs, history.action, history.reward[..., None]], axis=-1)
    tokens = discretiser.encode_dims(parts, 0)
    top = jnp.broadcast_to(discretiser.counts[layout.value] - 1, (*tokens.shape[:-1], 1))
    return jnp.concatenate([tokens, top], axis=-1), discretiser.encode_dims(history.now, 0)


def open_reader(model: SequenceModel, params: SequenceParams, past: Array, now: Array | None, length: Array) -> Reader:
    """Read the past transitions [B, C, D], of which the last `length` [B] are there, and the current obs [B, O]."""
    batch, context, dims = past.shape
    tokens = past.reshape(batch, -1)
    if now is not None:
        tokens = jnp.concatenate([tokens, now], axis=1)
    cache, hidden = model.start(params, tokens, (context - length) * dims)
    return Reader(cache, hidden, jnp.zeros(batch))


def fork(model: SequenceModel, reader: Reader, times: int, room: int) -> Reader:
    """Every row `times` over, with room for `room` tokens."""
    cache, hidden = model.fork(reader.cache, reader.hidden, times, room)
    return Reader(cache, hidden, jnp.repeat(reader.log_prob, times))


def adopt(model: SequenceModel, reader: Reader, rows: Array) -> Reader:
    """The reader of `rows` [N] alone, in that order."""
    cache, hidden = model.adopt(reader.cache, reader.hidden, rows)
    return Reader(cache, hidden, reader.log_prob[rows])


def feed(model: SequenceModel, params: SequenceParams, reader: Reader, tokens: Array) -> Reader:
    """Read one given token [R], or relaxed token [R, V], a row."""
    cache, hidden = model.feed(params, reader.cache, tokens)
    return Reader(cache, hidden, reader.log_prob)


def read_on(
    model: SequenceModel, params: SequenceParams, reader: Reader, keys: Array, first: int, count: int, keep: Filter
) -> tuple[Reader, Array]:
    """Draw and read `count` tokens of the dimensions from `first` on; returns the tokens [R, count] too.

    The keys [B] are consumed.
    """

    def one(reader: Reader, dim: Array) -> tuple[Reader, Array]:
        logits = model.next_logits(params, reader.hidden, dim)
        token = draw(fold_in(keys, dim), logits, keep)
        reader = reader._replace(log_prob=reader.log_prob + log_prob(logits, token))
        return feed(model, params, reader, token), token

    reader, tokens = jax.lax.scan(one, reader, first + jnp.arange(count))
    return reader, tokens.T


def read_given(model: SequenceModel, params: SequenceParams, reader: Reader, tokens: Array) -> Reader:
    """Read the tokens [R, count]; they add nothing to the log-probability of what was drawn."""

    def one(reader: Reader, token: Array) -> tuple[Reader, None]:
        return feed(model, params, reader, token), None

    reader, _ = jax.lax.scan(one, reader, tokens.T)
    return reader


def read_outcome(
    model: SequenceModel, params: SequenceParams, reader: Reader, keys: Array, *, sampled: bool = False
) -> tuple[Reader, Outcome]:
    """Read the most likely reward, then ask for the value. Both are expectations, or with `sampled` drawn numbers."""
    centres, layout = params.discretiser.centres, model.layout
    keep = Filter() if sampled else GREEDY
    logits = model.next_logits(params, reader.hidden, layout.reward)
    token = draw(fold_in(keys, layout.reward), logits, keep)
    reward = centres[layout.reward, token] if sampled else expectation(logits, centres[layout.reward])
    reader = feed(model, params, reader._replace(log_prob=reader.log_prob + log_prob(logits, token)), token)
    logits = model.next_logits(params, reader.hidden, layout.value)
    last = draw(fold_in(keys, layout.value), logits, keep)
    value = centres[layout.value, last] if sampled else expectation(logits, centres[layout.value])
    return reader, Outcome(reward, value, jnp.stack([token, last], axis=-1))
