"""Features for ridge regressions that follow smooth nonlinear functions, so that curvature is not taken for memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.sample import SEED

Doubles = NDArray[np.float64]

MAX_FEATURES = 500  # random cosines: R^2 of 0.99 and more for the Pendulum and most columns of MuJoCo's Hopper
ROWS_PER_FEATURE = 10  # the ridge copes with fewer rows, but nothing is gained by more cosines
CLIP = 3.0  # standard deviations: cosines extrapolate without sense, so far values are held at the edge


class Scaler(NamedTuple):
    """Mean and deviation [D] of the columns of some rows; a column that is constant there has a deviation of inf."""

    mean: Doubles
    deviation: Doubles

    def apply(self, values: NDArray, clip: float = CLIP) -> Doubles:
        """Standardised `values` [N, D], held inside +-`clip`; a constant column becomes 0."""
        return np.clip((np.asarray(values, np.float64) - self.mean) / self.deviation, -clip, clip)


def fit_scaler(values: NDArray) -> Scaler:
    """The scaler of `values` [N, D]."""
    exact = np.asarray(values, np.float64)
    mean, deviation = exact.mean(axis=0), exact.std(axis=0)
    return Scaler(mean, np.where(deviation > 1e-8 * np.abs(mean), deviation, np.inf))


def standardised(values: NDArray, clip: float = CLIP) -> Doubles:
    """`values` [N, D] by their own scaler, held inside +-`clip`."""
    return fit_scaler(values).apply(values, clip)


def random_fourier(inputs: Doubles, count: int) -> Doubles:
    """[N, count] sqrt(2) cos(w'x + b), w ~ N(0, I / D), b ~ U(0, 2 pi), of standardised inputs [N, D].

    Inner products of them, over their count, approach the Gaussian kernel exp(-|x - y|^2 / 2D) (Rahimi and Recht,
    2007), whose width sqrt(D) is about the distance of standardised inputs from one another.
    """
    rng, dim = np.random.default_rng(SEED), inputs.shape[1]
    directions = rng.standard_normal((dim, count)) / np.sqrt(dim)
    return np.sqrt(2.0) * np.cos(inputs @ directions + rng.uniform(0.0, 2 * np.pi, count))


def feature_count(rows: int) -> int:
    """How many random cosines a sample of so many rows supports."""
    return min(MAX_FEATURES, rows // ROWS_PER_FEATURE)


def smooth_features(inputs: Doubles, count: int) -> Doubles:
    """[N, 1 + D + count] a constant, the standardised inputs [N, D], and random cosines of them held inside +-CLIP."""
    cosines = random_fourier(np.clip(inputs, -CLIP, CLIP), count)
    return np.concatenate([np.ones((len(inputs), 1)), inputs, cosines], axis=1)
