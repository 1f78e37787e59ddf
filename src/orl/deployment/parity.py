"""How far what a file answers is from what the policy answers in JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.deployment.reference import ACTION, FLAG, MEMORY, UNCERTAINTY
from orl.types import Spec

# float32 sums in another order stay below 2e-6 of the range on trained policies; what exceeds this is another function
LIMIT = 1e-5
# Members that agree to a thousandth leave three digits fewer of their difference; 1e-5 is what is seen.
UNCERTAINTY_LIMIT = 1e-3

Answers = Mapping[str, NDArray]


class Parity(NamedTuple):
    """The largest differences over all rows.

    Attributes:
        action: in units of the action's range, per dimension. memory: of remembered actions, in units of their range.
        uncertainty: in units of itself, or of the threshold where it is below that; 0 without a model.
        flags: rows whose flags differ: their uncertainty is at the threshold.
    """

    action: float
    memory: float = 0.0
    uncertainty: float = 0.0
    flags: int = 0

    @property
    def holds(self) -> bool:
        """Whether the file may be called the policy."""
        return max(self.action, self.memory) <= LIMIT and self.uncertainty <= UNCERTAINTY_LIMIT


def compare(expected: Answers, found: Answers, spec: Spec, threshold: float = 0.0) -> Parity:
    """Differences of answers by name, [N, ...] each; infinite where one side is no number, or is missing.

    Args:
        threshold: of the uncertainty.
    """
    if expected.keys() != found.keys():
        return Parity(np.inf)
    span = np.subtract(spec.action_high, spec.action_low)
    action = _largest(np.subtract(found[ACTION], expected[ACTION], dtype=np.float64) / span)
    memory = uncertainty = 0.0
    if MEMORY in expected:
        memory = _largest(np.subtract(found[MEMORY], expected[MEMORY], dtype=np.float64) / 2.0)
    if UNCERTAINTY not in expected:
        return Parity(action, memory)
    known = np.asarray(expected[UNCERTAINTY], np.float64)
    uncertainty = _largest((found[UNCERTAINTY] - known) / np.maximum(known, threshold))
    return Parity(action, memory, uncertainty, int(np.sum(found[FLAG] != expected[FLAG])))


def _largest(difference: ArrayLike) -> float:
    sizes = np.abs(difference)
    return float(sizes.max(initial=0.0)) if np.isfinite(sizes).all() else float("inf")
