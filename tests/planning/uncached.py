"""Tiny networks, and what they say next without a cache: whole sequences, read anew for every single token."""

from __future__ import annotations

import sys
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.planning.base import History
from orl.sequence.discretiser import Discretiser
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter, draw
from orl.types import Array

sys.path.append(str(Path(__file__).parents[1] / "sequence"))
from made_sequences import lively, tiny_config

COUNTS = [8, 6, 5, 7, 8, 6]  # bins in use, of two observation and two action tokens, a reward and a value
Tokens = list[list[int]]  # transitions, each of D tokens; the last one may be begun only


@cache
def tiny_sequence(**changes: Any) -> tuple[SequenceModel, SequenceParams]:
    """A small network with lively random parameters, and bins of [-1, 1], not all of them in use."""
    model = SequenceModel(tiny_config(**({"layers": 1} | changes)), 2, 2)
    bins = model.config.bins
    edges, centres = np.full((6, bins + 1), np.inf, np.float32), np.zeros((6, bins), np.float32)
    for dim, count in enumerate(COUNTS):
        edges[dim, : count + 1] = np.linspace(-1, 1, count + 1)
        centres[dim, :count] = (np.arange(count) + 0.5) * 2 / count - 1
    found = Discretiser(jnp.asarray(edges), jnp.asarray(centres), jnp.asarray(COUNTS, jnp.int32))
    return model, lively(model)._replace(discretiser=found)


def some_history(lengths: list[int], context: int, seed: int = 0) -> History:
    """Random pasts for `tiny_sequence`, of the given lengths."""
    rng = np.random.default_rng(seed)
    b = len(lengths)
    obs, action, now = (rng.uniform(-1, 1, shape) for shape in ((b, context, 2), (b, context, 2), (b, 2)))
    parts = [jnp.asarray(x, jnp.float32) for x in (obs, action, rng.uniform(-1, 1, (b, context)), now)]
    return History(*parts, jnp.asarray(lengths, jnp.int32), jnp.zeros((b, 1, 2)))


@partial(jax.jit, static_argnums=0)
def _next(model: SequenceModel, params: SequenceParams, tokens: Array, last: Array) -> Array:
    return model.logits(params, tokens)[jnp.arange(len(last)), last]


_draw = jax.jit(draw, static_argnums=2)


class Uncached:
    """One model and its parameters; `context` is how many past transitions are read."""

    def __init__(self, model: SequenceModel, params: SequenceParams, context: int, rows: int) -> None:
        """`rows` is how many sequences are asked for at once at most."""
        self.model, self.params, self.context, self.rows = model, params, context, rows
        self.centres = np.asarray(params.discretiser.centres)

    def opening(self, history: History, row: int) -> tuple[Tokens, list[int]]:
        """The past transitions that are there, value tokens at the top bin, and the current observation's tokens."""
        length, past = int(history.length[row]), np.column_stack([x[row] for x in history[:3]])
        there = [[*self.encode(each), COUNTS[-1] - 1] for each in past[len(past) - length :]]
        return there, self.encode(np.asarray(history.now[row]))

    def encode(self, numbers: NDArray) -> list[int]:
        """The bins of a transition's first numbers, [-1, 1] in equal parts."""
        return [min(int((x + 1) / 2 * count), count - 1) for x, count in zip(numbers, COUNTS, strict=False)]

    def in_sight(self, past: Tokens, planned: Tokens) -> list[int]:
        """Tokens that the model sees at the last of the planned steps, which is begun.

        First all of the past and the plan; once the window is full, from the last `context` transitions (one at least)
        before the step at which it was read anew.
        """
        window, kept, step = self.model.config.window, max(self.context, 1), len(planned) - 1
        lead = window - self.context
        if step < lead:
            return list(chain.from_iterable(past + planned))
        anew = lead + (step - lead) // (window - kept) * (window - kept)
        return list(chain.from_iterable((past + planned)[max(len(past) + anew - kept, 0) :]))

    def next(self, past: Tokens, plans: list[Tokens]) -> NDArray[np.float32]:
        """[R, V] logits of the next token of every plan of one episode."""
        length = self.model.config.window * self.model.layout.dims
        tokens, last = np.zeros((self.rows, length), np.int32), np.zeros(self.rows, np.int32)
        for row, plan in enumerate(plans):
            sight = self.in_sight(past, plan)
            tokens[row, : len(sight)], last[row] = sight, len(sight) - 1
        return np.asarray(_next(self.model, self.params, tokens, last))[: len(plans)]

    def go_on(
        self, past: Tokens, plans: list[Tokens], key: Array, first: int, count: int, keep: Filter
    ) -> NDArray[np.float64]:
        """Draw `count` tokens for every plan of one episode, whose key is its step's; their log-probabilities [R]."""
        total = np.zeros(len(plans))
        for dim in range(first, first + count):
            logits = self.next(past, plans)
            tokens = np.asarray(_draw(jax.random.fold_in(key, dim)[None], logits, keep))
            total += np.log(chances_of(logits))[np.arange(len(plans)), tokens]
            for plan, token in zip(plans, tokens, strict=True):
                plan[-1].append(int(token))
        return total

    def outcome(
        self, past: Tokens, plans: list[Tokens], key: Array, *, sampled: bool = False
    ) -> tuple[NDArray, NDArray, NDArray]:
        """(reward, value, log-probability of the reward token), each [R], of the step whose actions are read."""
        layout, keep, found = self.model.layout, Filter() if sampled else Filter(top_k=1), []
        for dim in (layout.reward, layout.value):
            probs = chances_of(self.next(past, plans))
            log = self.go_on(past, plans, key, dim, 1, keep)
            drawn = self.centres[dim][[plan[-1][-1] for plan in plans]]
            found.append((drawn if sampled else probs @ self.centres[dim], log))
        return found[0][0], found[1][0], found[0][1]


def chances_of(logits: NDArray) -> NDArray[np.float64]:
    """[R, V] probabilities, none of them quite zero."""
    weights = np.exp(np.float64(logits) - logits.max(axis=-1, keepdims=True)) + 1e-300
    return weights / weights.sum(axis=-1, keepdims=True)
