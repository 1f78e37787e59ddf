"""What a check hands back, and what checks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # from what cannot be learned from, to good to know


class Finding(NamedTuple):
    """One thing about a dataset that its user should know.

    Attributes:
        check: name in the table CHECKS.
        severity: "error" - `orl.data.catalog.load` refuses it or it falsifies what is learned; "warning" - results
            will suffer; "note" - a property worth knowing.
        where: row, column, episode or flag, in words.
        value: the statistic that was held to a threshold; its unit is said in `message`.
        message: what was found. advice: what to do about it.
    """

    check: str
    severity: Severity
    where: str
    value: float
    message: str
    advice: str


Check = Callable[[Dataset], list[Finding]]


def percent(share: float) -> str:
    """'12.5%', and '<0.1%' where a share is not zero but would round to it."""
    return "<0.1%" if 0 < share < 0.001 else f"{100 * share:.3g}%"


def listed(items: NDArray | list, most: int = 5) -> str:
    """'3, 7, 9' of the items [N], or the first `most` and how many more there are."""
    words = ", ".join(map(str, items[:most]))
    return words if len(items) <= most else f"{words} and {len(items) - most} more"


def spread(values: NDArray) -> NDArray[np.float64]:
    """[D] standard deviations of the columns of `values` [N, D], over finite rows and in double precision."""
    finite = np.isfinite(values).all(axis=1)
    return values[finite].std(axis=0, dtype=np.float64) if finite.any() else np.zeros(values.shape[1])
