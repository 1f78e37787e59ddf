"""Values that cannot be learned from: not finite, never varying, or there twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.finding import Finding, listed, spread
from orl.data.episodes import Dataset

CONSTANT = 1e-6  # spread over magnitude: the rounding of float32 leaves a column of equal values about 1e-7
EQUAL = 1e-6  # largest difference over spread: two columns closer than float32 can tell apart
AFFINE = 1e-9  # 1 - |correlation|: what rounding leaves of an exact a x + b


def non_finite(dataset: Dataset) -> list[Finding]:
    """NaN and infinities, by array and column."""
    found = []
    for name in ("obs", "action", "reward", "next_obs"):
        array = getattr(dataset, name)
        bad = ~np.isfinite(array.reshape(len(array), -1))
        for column in np.flatnonzero(bad.any(axis=0)):
            row, count = int(np.argmax(bad[:, column])), int(bad[:, column].sum())
            place = f"{name} column {column}" if array.ndim == 2 else name
            episodes = np.unique(dataset.episode_of_row[bad[:, column]])
            found.append(
                Finding(
                    "non-finite",
                    "error",
                    place,
                    float(count),
                    f"{count} values are NaN or infinite, the first at row {row} (episodes {listed(episodes)})",
                    "repair or remove those episodes",
                )
            )
    return found


def constant_columns(dataset: Dataset) -> list[Finding]:
    """Observations, actions or rewards that never vary."""
    found = []
    for name, array in (("obs", dataset.obs), ("action", dataset.action), ("reward", dataset.reward[:, None])):
        for column in np.flatnonzero(is_constant(array)):
            place = name if name == "reward" else f"{name} column {column}"
            advice = {
                "obs": "leave the column out; it tells nothing and hides changes that will come later",
                "action": "leave the dimension out; nothing can be learned about an action that never varied",
                "reward": "check how the reward was logged; without differences there is nothing to improve",
            }[name]
            value = float(array[0, column])
            found.append(Finding("constant", "warning", place, value, f"is {value:.6g} throughout", advice))
    return found


def duplicate_columns(dataset: Dataset) -> list[Finding]:
    """Columns of the observation that equal another one (a warning) or are a x + b of it (a note)."""
    found = []
    for first, second, equal in column_pairs(dataset.obs):
        place = f"obs columns {first} and {second}"
        if equal:
            advice = "leave one out; errors and distances count it twice"
            found.append(Finding("duplicate columns", "warning", place, 1.0, "are equal in every row", advice))
        else:
            advice = "one of them is enough"
            found.append(Finding("duplicate columns", "note", place, 1.0, "are a x + b of each other", advice))
    return found


def is_constant(values: NDArray) -> NDArray[np.bool_]:
    """[D] whether each column of `values` [N, D] has a spread of no more than rounding."""
    finite = values[np.isfinite(values).all(axis=1)]
    if not len(finite):
        return np.zeros(values.shape[1], bool)
    return spread(finite) <= CONSTANT * np.maximum(np.abs(finite.mean(axis=0, dtype=np.float64)), CONSTANT)


def column_pairs(values: NDArray) -> list[tuple[int, int, bool]]:
    """Pairs of varying columns of `values` [N, D] with |correlation| = 1 up to rounding, and whether they are equal."""
    finite = values[np.isfinite(values).all(axis=1)].astype(np.float64)
    if len(finite) < 3:
        return []  # through two points there is always a line
    scale, centred = spread(finite), finite - finite.mean(axis=0)
    varies = ~is_constant(values)
    unit = centred / np.where(varies, scale, 1.0)
    correlation = np.abs(unit.T @ unit) / len(finite)
    together = np.argwhere(np.triu(correlation > 1 - AFFINE, 1) & varies & varies[:, None])
    gaps = [np.abs(finite[:, i] - finite[:, j]).max() / scale[i] for i, j in together]
    return [(int(i), int(j), bool(gap <= EQUAL)) for (i, j), gap in zip(together, gaps, strict=True)]
