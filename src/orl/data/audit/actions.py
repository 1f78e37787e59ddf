"""Actions against their bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.finding import Finding, Severity, percent
from orl.data.check import TOLERANCE
from orl.data.episodes import Dataset

AT_BOUND = 1e-3  # of the range: nearer than this to a bound counts as on it (a squashed policy never quite gets there)
SATURATED = 0.5  # share of rows at a bound from which what lies between is the exception
NOTED = 0.1


def action_bounds(dataset: Dataset) -> list[Finding]:
    """Bounds that are none, and actions outside them."""
    low, high, found = dataset.action_low, dataset.action_high, []
    sound = sound_bounds(dataset)
    for column in np.flatnonzero(~sound):
        message = f"is bounded by [{low[column]:.6g}, {high[column]:.6g}]"
        advice = "a finite low below a finite high is needed; leave out a dimension that never varies"
        found.append(Finding("bounds", "error", f"action column {column}", 0.0, message, advice))
    for column in np.flatnonzero(sound):
        excess = relative_excess(dataset.action[:, column], low[column], high[column])
        outside = excess > TOLERANCE  # a NaN is not: it has a check of its own
        if outside.any():
            row = int(np.argmax(np.where(outside, excess, 0.0)))
            message = (
                f"{percent(outside.mean())} of the actions lie outside [{low[column]:.6g}, {high[column]:.6g}], "
                f"the farthest {dataset.action[row, column]:.6g} at row {row}"
            )
            advice = "clip what was logged to what the environment applied"
            place = f"action column {column}"
            found.append(Finding("bounds", "error", place, float(excess[row]), message, advice))
    return found


def saturation(dataset: Dataset) -> list[Finding]:
    """Actions that are mostly at a bound."""
    found = []
    for column, (at_low, at_high) in enumerate(bound_shares(dataset)):
        share = float(at_low + at_high)
        if share < NOTED:
            continue
        message = f"{percent(share)} of the actions are at a bound ({percent(at_low)} low, {percent(at_high)} high)"
        advice = "what lies between the bounds is known from the other rows only; logged before clipping, it would show"
        severity: Severity = "warning" if share >= SATURATED else "note"
        found.append(Finding("saturation", severity, f"action column {column}", share, message, advice))
    return found


def sound_bounds(dataset: Dataset) -> NDArray[np.bool_]:
    """[A] whether the bounds of each dimension are finite and in order."""
    low, high = dataset.action_low, dataset.action_high
    return np.isfinite(low) & np.isfinite(high) & (low < high)


def relative_excess(action: NDArray, low: float, high: float) -> NDArray:
    """[N] how far outside its bounds each action lies, in units of their range; 0 or less inside."""
    return np.maximum(low - action, action - high) / (high - low)


def bound_shares(dataset: Dataset) -> NDArray[np.float64]:
    """[A, 2] share of rows at (or outside) the low and the high bound; zeros where the bounds are none."""
    sound, shares = sound_bounds(dataset), np.zeros((len(dataset.action_low), 2))
    low, high, action = dataset.action_low[sound], dataset.action_high[sound], dataset.action[:, sound]
    near = AT_BOUND * (high - low)
    shares[sound] = np.stack([(action <= low + near).mean(axis=0), (action >= high - near).mean(axis=0)], axis=1)
    return shares
