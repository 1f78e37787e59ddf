"""From numbers to tokens and back, one set of bins a dimension.

Reference: Trajectory Transformer, arXiv:2106.02039 (uniform and quantile discretisation).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.errors import UsageError
from orl.types import Array

MAX_BINS = 256  # tokens are stored as uint8
ATOM = 1e-6  # width of the bin of a single value, as a share of the dimension's range (of its magnitude, if constant)

Method = Literal["quantile", "uniform"]
Reconstruction = Literal["midpoint", "mean"]


class Discretiser(NamedTuple):
    """Bins of D dimensions, at most V each; a pytree.

    Attributes:
        edges: [D, V+1] ascending, a bin holds its left edge; +inf past the last bin in use.
        centres: [D, V] the number that a token stands for.
        counts: [D] int32, bins in use: several times fewer than V where values repeat.
    """

    edges: Array
    centres: Array
    counts: Array

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.centres.shape[1]

    def encode(self, x: Array) -> Array:
        """[..., D] numbers to [..., D] int32 tokens; outside the range of the data they go to the edge bins."""
        return self.encode_dims(x, 0)

    def encode_dims(self, x: Array, first: int) -> Array:
        """As `encode` for the dimensions from `first` on, as many as `x` has."""
        some = slice(first, first + x.shape[-1])
        search = jax.vmap(lambda edges, column: jnp.searchsorted(edges, column, side="right"), (0, -1), -1)
        flat = search(self.edges[some, 1:], x.reshape(-1, x.shape[-1]))
        return jnp.minimum(flat, self.counts[some] - 1).astype(jnp.int32).reshape(x.shape)

    def decode(self, tokens: Array) -> Array:
        """[..., D] tokens to the numbers they stand for."""
        return self.decode_dims(tokens, 0)

    def decode_dims(self, tokens: Array, first: int) -> Array:
        """As `decode` for the dimensions from `first` on, as many as `tokens` has."""
        dims = jnp.arange(first, first + tokens.shape[-1])
        return self.centres[dims, tokens.astype(jnp.int32)]

    def in_use(self) -> Array:
        """[D, V] bool: bins that can hold data."""
        return jnp.arange(self.vocab_size) < self.counts[:, None]


def fit_discretiser(
    x: ArrayLike, bins: int, method: Method = "quantile", reconstruction: Reconstruction = "midpoint"
) -> Discretiser:
    """Bins for the columns of `x` [N, D].

    "quantile" puts about equally many rows in each bin, "uniform" makes bins equally wide. A value so frequent that
    several quantiles fall on it gets a bin of its own, which gives back that very value (a reward of 0, an action at
    its bound); the quantiles it used up are left out, so such a dimension has fewer than `bins` bins.

    Args:
        reconstruction: a token stands for the middle of its bin, or for the mean of the data in it.

    Raises:
        UsageError: `bins` does not fit the tokens' type.
    """
    if not 2 <= bins <= MAX_BINS:
        raise UsageError(f"model.bins is {bins}; a token holds 2 to {MAX_BINS}")
    columns = np.asarray(x, np.float32).T
    per_dim = [_edges(column, bins, method) for column in columns]
    edges = np.full((len(columns), bins + 1), np.inf, np.float32)
    for row, found in zip(edges, per_dim, strict=True):
        row[: len(found)] = found
    counts = np.array([len(found) - 1 for found in per_dim], np.int32)
    last = np.array([found[-1] for found in per_dim], np.float32)
    closed = np.where(np.isinf(edges), last[:, None], edges)
    centres = (0.5 * (closed[:, :-1].astype(np.float64) + closed[:, 1:])).astype(np.float32)
    discretiser = Discretiser(jnp.asarray(edges), jnp.asarray(centres), jnp.asarray(counts))
    if reconstruction == "midpoint":
        return discretiser
    return discretiser._replace(centres=_bin_means(discretiser, np.asarray(x, np.float32)))


def encode_rows(discretiser: Discretiser, x: NDArray[np.float32], chunk: int = 65_536) -> NDArray[np.uint8]:
    """[N, D] tokens of a whole log, a chunk of rows at a time."""
    encode: Callable[[Array], Array] = jax.jit(discretiser.encode)
    parts = [np.asarray(encode(jnp.asarray(x[i : i + chunk])), np.uint8) for i in range(0, len(x), chunk)]
    return np.concatenate(parts)


def _edges(column: NDArray[np.float32], bins: int, method: Method) -> NDArray[np.float32]:
    """Ascending, strictly; two or more."""
    low, high = float(column.min()), float(column.max())
    width = ATOM * ((high - low) or max(abs(low), 1.0))
    if high - low <= 0.0:
        return np.array([low, low + width], np.float32)
    if method == "uniform":
        return _strictly(np.linspace(low, high, bins + 1))
    quantiles = np.quantile(column.astype(np.float64), np.linspace(0.0, 1.0, bins + 1), method="nearest")
    values, times = np.unique(quantiles, return_counts=True)
    # a repeated quantile v becomes the two edges v and v + width, between which there is room for v alone; far from
    # zero that is a few steps of float32
    repeated = values[times > 1]
    atoms = repeated + np.maximum(width, 4 * np.spacing(np.abs(repeated).astype(np.float32)))
    return _strictly(np.sort(np.concatenate([values, atoms])))


def _strictly(edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """As float32, where neighbours that rounding made equal are one."""
    return np.unique(edges.astype(np.float32))


def _bin_means(discretiser: Discretiser, x: NDArray[np.float32]) -> Array:
    """[D, V] mean of the data in each bin; the middle of a bin without data."""
    tokens, centres = encode_rows(discretiser, x), np.asarray(discretiser.centres, np.float64).copy()
    for dim in range(x.shape[1]):
        size = np.bincount(tokens[:, dim], minlength=centres.shape[1])
        total = np.bincount(tokens[:, dim], weights=x[:, dim], minlength=centres.shape[1])
        centres[dim] = np.where(size > 0, total / np.maximum(size, 1), centres[dim])
    return jnp.asarray(centres, jnp.float32)
