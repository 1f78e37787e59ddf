"""Rolling the density model: what it expects where actions are given, or what it does where it draws them itself.

The sliding rule is the beam's (`planning.beam`): a full window is read anew from its last `context` transitions.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.planning.base import History, Trajectory
from orl.planning.reading import (
    GREEDY,
    Reader,
    feed,
    fork,
    history_tokens,
    open_reader,
    read_given,
    read_on,
    read_outcome,
)
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter, fold_in
from orl.types import Array


class Rolled(NamedTuple):
    """H steps of B episodes: tokens [B, H, D], what they stand for, and the log-probability [B] of all but given ones.

    Rewards and values are expectations.
    """

    tokens: Array
    trajectory: Trajectory
    log_prob: Array


def roll(
    model: SequenceModel,
    params: SequenceParams,
    keys: Array,
    history: History,
    horizon: int,
    *,
    actions: Array | None = None,
    obs_keep: Filter = GREEDY,
    action_keep: Filter | None = None,
) -> Rolled:
    """`horizon` steps from each history on, in one pass; the keys [B] are consumed.

    Args:
        actions: [B, H, A] in [-1, 1] to play; without them they are drawn, filtered by `action_keep`.
        obs_keep: filter of the observations' tokens; by default the most likely one.
    """
    layout, window = model.layout, model.config.window
    past, now = history_tokens(model, params, history)
    batch, context, dims = past.shape
    kept = max(context, 1)
    given = None
    if actions is not None:
        given = params.discretiser.encode_dims(actions, layout.first_action)
    tokens = jnp.concatenate([past, jnp.zeros((batch, horizon, dims), jnp.int32)], axis=1)
    tokens = tokens.at[:, context, : layout.obs_dim].set(now)
    reward = value = jnp.zeros((batch, horizon))
    log_prob = jnp.zeros(batch)

    def step(carry: tuple, index: Array, observed: bool, fresh: bool) -> tuple:
        reader, tokens, reward, value = carry
        place, step_keys = context + index, fold_in(keys, index)
        if not observed:
            if not fresh:
                reader = feed(model, params, reader, tokens[:, place - 1, -1])
            reader, obs = read_on(model, params, reader, step_keys, 0, layout.obs_dim, obs_keep)
            tokens = tokens.at[:, place, : layout.obs_dim].set(obs)
        first, count = layout.first_action, layout.action_dim
        if given is None:
            reader, action = read_on(model, params, reader, step_keys, first, count, action_keep or Filter())
        else:
            action = jax.lax.dynamic_index_in_dim(given, index, 1, keepdims=False)
            reader = read_given(model, params, reader, action)
        reader, outcome = read_outcome(model, params, reader, step_keys)
        done = jnp.concatenate([action, outcome.tokens], axis=-1)
        tokens = tokens.at[:, place, first:].set(done)
        return reader, tokens, reward.at[:, index].set(outcome.reward), value.at[:, index].set(outcome.value)

    def segment(state: tuple, start: Array, steps: int, observed: bool) -> tuple:
        tokens, reward, value, log_prob = state
        if observed:
            reader = open_reader(model, params, past, now, history.length)
        else:
            rows = jax.lax.dynamic_slice_in_dim(tokens, context + start - kept, kept, axis=1)
            reader = open_reader(model, params, rows, None, jnp.minimum(history.length + start, kept))
        reader = fork(model, Reader(reader.cache, reader.hidden, log_prob), 1, steps * dims)
        carry = step((reader, tokens, reward, value), start, observed, True)

        def further(carry: tuple, index: Array) -> tuple[tuple, None]:
            return step(carry, index, False, False), None

        (reader, *rest), _ = jax.lax.scan(further, carry, start + jnp.arange(1, steps))
        return (*rest, reader.log_prob)

    lead = min(window - context, horizon)
    whole, rest = divmod(horizon - lead, window - kept)
    state = segment((tokens, reward, value, log_prob), jnp.asarray(0), lead, True)
    if whole:
        starts = lead + (window - kept) * jnp.arange(whole)
        state, _ = jax.lax.scan(lambda state, start: (segment(state, start, window - kept, False), None), state, starts)
    if rest:
        state = segment(state, jnp.asarray(horizon - rest), rest, False)
    tokens, reward, value, log_prob = state
    tokens = tokens[:, context:]
    return Rolled(tokens, decode(params, model, history, tokens, reward, value), log_prob)


def decode(
    params: SequenceParams, model: SequenceModel, history: History, tokens: Array, reward: Array, value: Array
) -> Trajectory:
    """The trajectory that planned tokens [B, H, D] stand for; it begins at the true current observation."""
    layout, discretiser = model.layout, params.discretiser
    obs = discretiser.decode_dims(tokens[..., : layout.obs_dim], 0).at[:, 0].set(history.now)
    action = discretiser.decode_dims(tokens[..., layout.first_action : layout.reward], layout.first_action)
    return Trajectory(obs, jnp.clip(action, -1.0, 1.0), reward, value)
