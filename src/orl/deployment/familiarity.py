"""When is an input out of distribution? Where the model's members disagree more than on nearly all held-out rows.

The disagreement is MOReL's discrepancy, by which it tells known state-actions from unknown ones (arXiv:2005.05951, its
unknown state-action detector). Noise that the members agree on is no part of it: a noisy place is not an unknown one.
Both numbers are split-conformal (arXiv:1604.04173): they speak of rows that are exchangeable with the held-out ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from orl.errors import UsageError
from orl.evaluation.diagnosis.conformal import checked_share, split_conformal_factor

COVERED = 0.95  # share of rows on which factor * disagreement is at least the error of the model's prediction


class Calibrated(NamedTuple):
    """`factor`: uncertainty per unit of disagreement. `threshold`: of the uncertainty, in training spreads."""

    factor: float
    threshold: float


def calibrated(disagreement: ArrayLike, error: ArrayLike, quantile: float) -> Calibrated | None:
    """What makes a flag of the members' disagreement; None where there is none: a single member always agrees.

    Args:
        disagreement, error: [N] of held-out logged rows: of the members, and of their mean's prediction of the next
            observation, both lengths in training spreads. quantile: a further such row is flagged with probability of
            at most 1 - quantile.

    Raises:
        UsageError: the quantile is not inside (0, 1), or beyond what so few rows can say.
    """
    unsure = np.asarray(disagreement, np.float64)
    limit = split_conformal_factor(np.ones_like(unsure), unsure, checked_share(quantile))
    if math.isinf(limit):
        most = len(unsure) / (len(unsure) + 1)
        raise UsageError(
            f"{len(unsure)} held-out rows tell no quantile of {quantile}; give --quantile {most:.3g} or less"
        )
    factor = split_conformal_factor(unsure, error, COVERED)
    if limit == 0.0 or not 0.0 < factor < math.inf:
        return None
    return Calibrated(factor, factor * limit)
