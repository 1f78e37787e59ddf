"""Keys and values already computed: a tree of stretches that rows share, and attention over them.

Decoding works on R rows, ordered episode by episode, in each episode beam by beam, in each beam fork by fork. A `Part`
belongs to G groups of neighbouring rows: the context to whole episodes, a suffix to a beam, a fork to one row. So what
rows have in common is stored, and read, once.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.types import Array

MASKED = -1e30


class Part(NamedTuple):
    """One stretch of T tokens for G groups of rows.

    Attributes:
        keys: one a layer, [G, heads, d, T]. values: one a layer, [G, heads, T, d].
    """

    keys: tuple[Array, ...]
    values: tuple[Array, ...]

    @property
    def groups(self) -> int:
        """G."""
        return self.values[0].shape[0]

    @property
    def length(self) -> int:
        """T, the room there is."""
        return self.values[0].shape[2]


def empty_part(layers: int, groups: int, heads: int, length: int, size: int, dtype: jnp.dtype) -> Part:
    """Room for `length` tokens."""
    keys = tuple(jnp.zeros((groups, heads, size, length), dtype) for _ in range(layers))
    values = tuple(jnp.zeros((groups, heads, length, size), dtype) for _ in range(layers))
    return Part(keys, values)


def write(part: Part, layer: int, key: Array, value: Array, place: Array) -> tuple[Array, Array]:
    """The layer's keys and values with one token's key and value [G, heads, d] at `place`."""
    keys = jax.lax.dynamic_update_slice_in_dim(part.keys[layer], key[..., None], place, axis=3)
    values = jax.lax.dynamic_update_slice_in_dim(part.values[layer], value[:, :, None, :], place, axis=2)
    return keys, values


def part_scores(query: Array, keys: Array) -> Array:
    """[R, heads, T] products of the rows' queries [R, heads, d] with their groups' keys [G, heads, d, T]."""
    rows, heads, size = query.shape
    groups = keys.shape[0]
    grouped = query.reshape(groups, rows // groups, heads, size)
    if not _as_sums(rows // groups):
        return jnp.einsum("grhd,ghdt->grht", grouped, keys).astype(jnp.float32).reshape(rows, heads, -1)
    return jnp.sum(grouped[..., None] * keys[:, None], axis=3, dtype=jnp.float32).reshape(rows, heads, -1)


def part_mix(weights: Array, values: Array) -> Array:
    """[R, heads, d] sums of the groups' values [G, heads, T, d] by the rows' weights [R, heads, T]."""
    rows, heads, length = weights.shape
    groups = values.shape[0]
    grouped = weights.reshape(groups, rows // groups, heads, length).astype(values.dtype)
    if not _as_sums(rows // groups):
        return jnp.einsum("grht,ghtd->grhd", grouped, values).reshape(rows, heads, -1)
    return jnp.sum(grouped[..., None] * values[:, None], axis=3).reshape(rows, heads, -1)


def _as_sums(rows_per_group: int) -> bool:
    """Whether products of a few rows with a group of their own are faster as plain sums than as matrix products.

    On CPU, XLA calls a matrix product once a group, which costs more than such small ones do (4 to 7 times at two rows
    a group); a single row it turns into a loop of its own that is better than the sums. On a GPU products always win.
    """
    return jax.default_backend() == "cpu" and 1 < rows_per_group <= 8


def attend_parts(query: Array, parts: list[tuple[Array, Array, Array]]) -> Array:
    """Softmax attention [R, heads, d] over several stretches as if they were one.

    Args:
        query: [R, heads, d], scaled.
        parts: (keys [G, heads, d, T], values [G, heads, T, d], bias [G', T] with G' dividing R) of each stretch.
    """
    rows = query.shape[0]
    scores = [part_scores(query, keys) + spread_bias(bias, rows) for keys, _, bias in parts]
    top = jnp.max(jnp.stack([jnp.max(s, axis=-1) for s in scores]), axis=0)[..., None]
    weights = [jnp.exp(s - top) for s in scores]
    total = reduce(add, (jnp.sum(w, axis=-1) for w in weights))
    mixed = reduce(add, (part_mix(w, values) for w, (_, values, _) in zip(weights, parts, strict=True)))
    return mixed / total[..., None].astype(query.dtype)


def spread_bias(bias: Array, rows: int) -> Array:
    """[R, 1, T] of a bias [G, T] that R/G neighbouring rows share."""
    groups, length = bias.shape
    return jnp.broadcast_to(bias[:, None], (groups, rows // groups, length)).reshape(rows, 1, length)
