"""Tiny logs and models of token sequences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.sequence.config import TransformerConfig
from orl.sequence.discretiser import Discretiser
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import Log
from orl.types import Array

TINY = {"layers": 2, "heads": 2, "width": 16, "bins": 8, "window": 3, "dropout": 0.0}


def tiny_config(**changes: Any) -> TransformerConfig:
    """A small model's settings: five tokens a transition with `tiny_model`, three transitions a window."""
    return TransformerConfig(**(TINY | {"steps": 40, "epoch_steps": 10, "batch_size": 8, "chunk": 0} | changes))


def tiny_model(**changes: Any) -> SequenceModel:
    """Two observation tokens, one action token."""
    return SequenceModel(tiny_config(**changes), 2, 1)


def even_bins(counts: list[int], bins: int) -> Discretiser:
    """Bins 1 wide from 0 on, as many of each dimension as `counts` says."""
    edges = np.tile(np.arange(bins + 1, dtype=np.float32), (len(counts), 1))
    for row, count in zip(edges, counts, strict=True):
        row[count + 1 :] = np.inf
    centres = np.tile(np.arange(bins, dtype=np.float32) + 0.5, (len(counts), 1))
    return Discretiser(jnp.asarray(edges), jnp.asarray(centres), jnp.asarray(counts, jnp.int32))


def lively(model: SequenceModel, seed: int = 0, counts: list[int] | None = None) -> SequenceParams:
    """Parameters large enough for every input to matter, unlike fresh ones; nothing is compiled for them."""
    bins = even_bins(counts or [model.config.bins] * model.layout.dims, model.config.bins)
    shapes = jax.eval_shape(model.init, jax.random.key(0), bins)
    rng = np.random.default_rng(seed)

    def leaf(path: tuple, like: Any) -> Array:
        around = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(around + 0.3 * rng.standard_normal(like.shape), like.dtype)

    return SequenceParams(jax.tree_util.tree_map_with_path(leaf, shapes.net), bins)


def some_tokens(model: SequenceModel, rows: int, length: int, seed: int = 0) -> Array:
    """Random tokens [rows, length] of all bins."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, model.config.bins, (rows, length)), jnp.int32)


def made_log(lengths: list[int], cut: list[bool] | None = None, *, beyond: float = 0.0, seed: int = 0) -> Log:
    """Episodes of the given lengths, cut off or (all, by default) truly ended; obs [N, 2] begins with the row's number.

    What lies beyond an episode cut off is worth `beyond`.
    """
    n, cut = sum(lengths), cut or [False] * len(lengths)
    rng = np.random.default_rng(seed)
    rows, last = np.arange(n), np.repeat(np.cumsum(lengths) - 1, lengths)
    is_cut = np.repeat(np.asarray(cut), lengths)
    return Log(
        obs=np.column_stack([rows, rng.standard_normal(n)]).astype(np.float32),
        action=rng.uniform(-1, 1, (n, 1)).astype(np.float32),
        reward=rng.standard_normal(n).astype(np.float32),
        terminated=(rows == last) & ~is_cut,
        last=last,
        cut=is_cut,
        beyond=np.where(is_cut, beyond, 0.0).astype(np.float32),
    )
