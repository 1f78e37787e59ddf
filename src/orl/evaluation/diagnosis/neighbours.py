"""How far from the training data something is, and how far from it an uncertainty can still be relied on."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.chunks import map_chunks
from orl.evaluation.diagnosis.conformal import needed_factors
from orl.types import Array

QUERIES = 8  # at a time: their distances to 100,000 rows fill 3 MB


class DistanceBin(NamedTuple):
    """Rows whose distance from the training data lies in (low, high] (the first bin: [low, high]).

    Attributes:
        rows: how many. admissible: share of them with factor * u >= error. error, u: their means.
    """

    low: float
    high: float
    rows: int
    admissible: float
    error: float
    u: float


def nearest_distance(train: ArrayLike, query: ArrayLike) -> NDArray[np.float32]:
    """[N] Euclidean distance of each row of `query` [N, D] to the nearest row of `train` [M, D], in their own units.

    Every pair is compared, by differences: |x|^2 - 2xy + |y|^2 would cancel near 0. That takes about 3 N M D
    operations, so the caller samples rows where there are many.
    """
    return np.asarray(_nearest(jnp.asarray(train, jnp.float32).T, jnp.asarray(query, jnp.float32)))


def by_distance(
    distance: ArrayLike, u: ArrayLike, error: ArrayLike, *, factor: float = 1.0, bins: int = 5
) -> list[DistanceBin]:
    """Admissibility of factor * u in `bins` bins of about equally many rows, by distance from the training data.

    Bins end at quantiles of `distance` [N]; those that ties leave without rows are dropped. u, error: [N].
    """
    far = np.asarray(distance, np.float64)
    unsure, wrong = np.asarray(u, np.float64), np.asarray(error, np.float64)
    covered = needed_factors(unsure, wrong) <= factor
    if not len(far):
        return []
    edges = np.unique(np.quantile(far, np.linspace(0.0, 1.0, bins + 1)))
    place = np.maximum(np.searchsorted(edges, far, side="left"), 1) - 1  # all in one place: edges has one entry
    found = []
    for index in np.unique(place):
        here, high = place == index, edges[min(index + 1, len(edges) - 1)]
        means = (float(values[here].mean()) for values in (covered, wrong, unsure))
        found.append(DistanceBin(float(edges[index]), float(high), int(here.sum()), *means))
    return found


@jax.jit
def _nearest(train: Array, query: Array) -> Array:
    """[N] for `train` [D, M], so that a dimension's values of all rows lie side by side."""
    return jnp.sqrt(map_chunks(partial(_least_squares, train), query, QUERIES))


def _least_squares(train: Array, query: Array) -> Array:
    def add(d: Array, total: Array) -> Array:
        return total + (query[:, d, None] - train[d][None]) ** 2

    return jnp.min(jax.lax.fori_loop(0, len(train), add, jnp.zeros((len(query), train.shape[1]))), axis=1)
