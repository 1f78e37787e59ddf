"""Standardisation by statistics of the training split."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from orl.types import Array


class Normaliser(NamedTuple):
    """Mean [D] and standard deviation [D] of each dimension, in the units of what they were fitted on."""

    mean: Array
    std: Array

    def apply(self, x: Array) -> Array:
        """Standardised `x` [..., D]."""
        return (x - self.mean) / self.std

    def invert(self, z: Array) -> Array:
        """The value whose standardised form is `z` [..., D]."""
        return z * self.std + self.mean


def fit_normaliser(x: ArrayLike, tolerance: float = 1e-6) -> Normaliser:
    """Mean and std of the rows of `x` [N, D]; a dimension that does not vary gets std 1, so it maps to 0.

    A dimension counts as constant when its std is below `tolerance` times its magnitude (or absolutely, near zero):
    float32 rounding leaves constant columns with a tiny spread that would otherwise blow up.
    """
    rows = np.asarray(x)
    mean, std = np.array([_mean_and_std(column) for column in rows.T]).T
    constant = std <= tolerance * np.maximum(1.0, np.abs(mean))
    std = np.where(constant, 1.0, std)
    return Normaliser(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))


def _mean_and_std(column: np.ndarray) -> tuple[float, float]:
    """In float64; one column at a time, for a copy of all of them would be twice the data."""
    exact = np.asarray(column, np.float64)
    return float(exact.mean()), float(exact.std())


def identity_normaliser(dim: int) -> Normaliser:
    """The normaliser that changes nothing."""
    return Normaliser(jnp.zeros(dim), jnp.ones(dim))
