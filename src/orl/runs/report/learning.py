"""Curves over the seeds of a method: their mean at every step that all of them reached, with an interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.runs.report.sources import number

RESAMPLES, LEVEL, SEED = 2000, 0.95, 0
MAX_POINTS = 200  # of a curve that is shown; more cannot be told apart on a screen
NOT_METRICS = ("step", "seed", "learning_rate_scale")
Series = dict[int, dict[int, float]]  # seed -> step -> value


def series_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """The metrics in rows of metrics.jsonl by name, seed and step; a model's rows, which name no seed, are seed 0's.

    Values that are no numbers, and the nulls of what was not finite, are left out.
    """
    found: dict[str, Series] = {}
    for row in rows:
        seed = row.get("seed", 0)
        for name, value in row.items():
            if name not in NOT_METRICS and isinstance(seed, int) and (read := number(value)) is not None:
                found.setdefault(name, {}).setdefault(seed, {})[row["step"]] = read
    return found


def curve(series: Series) -> dict[str, Any]:
    """The mean over seeds at the steps that all of them have: `steps`, `mean`, `low` and `high`, `seeds`.

    `low` and `high` are a 95% percentile bootstrap over seeds, null where there is one seed. Of more than MAX_POINTS
    steps as many are kept, evenly spread, the last among them.
    """
    shared = sorted(set.intersection(*(set(values) for values in series.values())))
    steps = [shared[index] for index in spread_indices(len(shared), MAX_POINTS)]
    values = np.array([[series[seed][step] for step in steps] for seed in sorted(series)], float)
    low, high = mean_interval(values) if len(values) > 1 and steps else (None, None)
    return {
        "steps": steps,
        "mean": values.mean(axis=0).tolist(),
        "low": low,
        "high": high,
        "seeds": len(series),
    }


def mean_interval(values: ArrayLike) -> tuple[list[float], list[float]]:
    """Percentile bootstrap interval at 95% of the mean over seeds, of each column of values [S, P].

    The same seeds are redrawn for every column. With few seeds it is too narrow, as every percentile bootstrap is
    (Agarwal et al. 2021, arXiv:2108.13264).
    """
    array = np.asarray(values, float)
    drawn = np.random.default_rng(SEED).integers(len(array), size=(RESAMPLES, len(array)))
    counts = np.stack([np.bincount(row, minlength=len(array)) for row in drawn])  # [R, S]: redrawn means are a product
    means: NDArray[np.float64] = counts @ array / len(array)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low.tolist(), high.tolist()


def spread_indices(count: int, most: int) -> Sequence[int]:
    """At most `most` of the indices below `count`, evenly spread, first and last among them."""
    if count <= most:
        return range(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()
