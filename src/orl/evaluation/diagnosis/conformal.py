"""Split-conformal calibration of an uncertainty: the factor that makes it cover the error on a stated share of data.

Reference: Vovk, Gammerman and Shafer 2005; Lei et al. 2018, arXiv:1604.04173, with the score error / u of their
section on locally weighted inference. The guarantee is about rows that are exchangeable with those used here: it says
nothing of data from elsewhere, and rows of one episode resemble each other, so that few episodes count as few rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.errors import UsageError

ROUNDING = 1e-9  # (n + 1) share is meant as a real number: 100 * 0.55 must not be 55.00000000000001 and round up


def needed_factors(u: ArrayLike, error: ArrayLike) -> NDArray[np.float64]:
    """[N] the least factor at which factor * u covers the error of each row: error / u, the conformal score.

    0 where there is no error, whatever u; inf where u is 0 and the error is not, or where either is not a number or
    the error is infinite: no factor covers those.

    Args:
        u, error: [N] both at least 0, in the same units (the factor has the units of their ratio).

    Raises:
        ValueError: they are not alike in shape, or no vectors.
    """
    unsure, wrong = np.asarray(u, np.float64), np.asarray(error, np.float64)
    if unsure.shape != wrong.shape or unsure.ndim != 1:
        raise ValueError(f"wants uncertainties and errors [N], got shapes {unsure.shape} and {wrong.shape}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(wrong == 0.0, 0.0, wrong / unsure)
    known = np.isfinite(wrong) & ~np.isnan(unsure)
    return np.where(known, ratio, np.inf)


def split_conformal_factor(u: ArrayLike, error: ArrayLike, share: float) -> float:
    """The least factor so that factor * u >= error, both [N], for a further exchangeable row with probability `share`.

    It is the ceil((n + 1) share)-th smallest of `needed_factors`; inf where that is beyond n, or where too many rows
    of u = 0 have an error. Without ties the probability is below share + 1 / (n + 1).

    Raises:
        UsageError: `share` is not inside (0, 1). ValueError: u and error are not alike in shape.
    """
    scores = np.sort(needed_factors(u, error))
    rank = math.ceil((len(scores) + 1) * checked_share(share) - ROUNDING)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


def checked_share(share: float) -> float:
    """The share, or a UsageError where it is not inside (0, 1)."""
    if not 0.0 < share < 1.0:
        raise UsageError(f"the share of held-out data to cover is {share}; it must lie between 0 and 1")
    return share


def admissible_share(u: ArrayLike, error: ArrayLike, factor: float = 1.0) -> float:
    """The share of rows with factor * u >= error: on how many of them MOPO's theorem may count on factor * u.

    u, error [N] as in `needed_factors`; NaN without rows.

    Reference: MOPO, arXiv:2005.13239 (admissible error estimators).
    """
    scores = needed_factors(u, error)
    return float(np.mean(scores <= factor)) if len(scores) else math.nan
