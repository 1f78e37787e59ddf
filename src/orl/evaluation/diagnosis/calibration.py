"""Whether a predicted spread is as wide as the errors that it announces.

Reference: Kuleshov, Fenner and Ermon 2018, arXiv:1807.00263 (calibrated regression).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def central_coverage(z: ArrayLike, levels: ArrayLike = LEVELS) -> NDArray[np.float64]:
    """[L, D] share of rows whose residual lies in the standard normal's central interval of each level.

    Args:
        z: [N, D] residuals (observed - predicted mean) / predicted standard deviation. One that is not a number lies
            in no interval. levels: [L] inside (0, 1).
    """
    size = np.abs(np.asarray(z, np.float64))
    half_widths = [NormalDist().inv_cdf(0.5 + 0.5 * level) for level in np.asarray(levels, np.float64)]
    return np.stack([np.mean(size <= width, axis=0) for width in half_widths])


def expected_calibration_error(coverage: ArrayLike, levels: ArrayLike = LEVELS) -> float:
    """Mean over levels (and dimensions) of |coverage - level|; 0 for a spread that is right at every level.

    Args:
        coverage: [L] of one dimension, or [L, D]. levels: [L].
    """
    shares = np.asarray(coverage, np.float64)
    nominal = np.asarray(levels, np.float64).reshape(-1, *[1] * (shares.ndim - 1))
    return float(np.mean(np.abs(shares - nominal)))
