"""Whether a fitted Q may be believed: Bellman errors on rows it did not learn from, and values that cannot be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.evaluation.ope.fqe import FqeParams, fqe_data, policy_actions, raw_values
from orl.types import ActFn, Params, Transition

MARGIN, TOO_MANY = 0.05, 0.1


class FqeDiagnosis(NamedTuple):
    """Of each member [M].

    Attributes:
        bellman_rms: root mean square of r + discount * V(s') - Q(s, a) on rows that the member's data lacks, in the
            spread of the logged returns; the noise of rewards and transitions is part of it. NaN without such rows.
        bellman_bias: mean of the same in reward units, a bias of every step; it enters values 1 / (1 - discount) times.
        far_out: share of all rows whose next value is outside the possible range by more than 5% of its width.
    """

    bellman_rms: NDArray[np.float64]
    bellman_bias: NDArray[np.float64]
    far_out: NDArray[np.float64]

    @property
    def diverged(self) -> bool:
        """Whether more than a tenth of some member's values are impossible, or not numbers."""
        return bool(np.any(self.far_out > TOO_MANY))


def diagnose(
    params: FqeParams,
    act: ActFn,
    policy: Params,
    rows: Transition,
    multiplicity: NDArray[np.integer],
    discount: float,
) -> FqeDiagnosis:
    """Of members fitted to the policy's value on rows [N] by `multiplicity` [M, N]."""
    data = fqe_data(params.obs, rows, policy_actions(act, policy, rows.next_obs))
    now, after = (np.asarray(raw_values(params, x), np.float64) for x in (data.now, data.after))
    low, high = float(params.low), float(params.high)
    live = discount * (1.0 - np.asarray(rows.terminated, np.float64))
    error = np.asarray(rows.reward, np.float64) + live * np.clip(after, low, high) - now
    unseen = np.asarray(multiplicity) == 0
    with np.errstate(invalid="ignore"):
        bias, square = ((x * unseen).sum(axis=1) / unseen.sum(axis=1) for x in (error, error**2))
    margin = MARGIN * (high - low)
    possible = (after >= low - margin) & (after <= high + margin)
    return FqeDiagnosis(np.sqrt(square) / float(params.returns.std), bias, 1.0 - possible.mean(axis=1))
