"""How much of the actions was tried, and how far the observation decided them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.actions import sound_bounds
from orl.data.audit.features import feature_count, smooth_features, standardised
from orl.data.audit.finding import Finding, percent
from orl.data.audit.ridge import explained, fold_moments, heldout_errors
from orl.data.audit.sample import sample_rows
from orl.data.episodes import Dataset

Doubles = NDArray[np.float64]

DETERMINED = 0.05  # of the range: a spread around the behaviour below this says next to nothing about other actions
NARROW = 0.25  # of the range: the middle 98% of actions within less than this leave most of the range untried
MIDDLE = 0.01


class Coverage(NamedTuple):
    """Of each action dimension [A]: held-out R^2 of it from the observation, the spread around that (standard
    deviation), and the width of the middle 98% of actions; both in units of the range."""

    from_obs: Doubles
    spread: Doubles
    width: Doubles


def action_coverage(dataset: Dataset) -> Coverage | None:
    """The coverage of the sampled rows, or None where they do not suffice or the bounds are none."""
    sample = sample_rows(dataset)
    if sample is None or not sound_bounds(dataset).all():
        return None
    action = dataset.action[sample.rows].astype(np.float64) / (dataset.action_high - dataset.action_low)
    low, high = np.quantile(action, [MIDDLE, 1 - MIDDLE], axis=0)
    features = smooth_features(standardised(dataset.obs[sample.rows]), feature_count(len(sample.rows)))
    moments = fold_moments(features, action - action.mean(axis=0), sample.fold)
    errors = heldout_errors(moments, np.arange(features.shape[1]))
    return Coverage(explained(errors, moments), np.sqrt(errors.sum(axis=0) / len(action)), high - low)


def coverage(dataset: Dataset) -> list[Finding]:
    """Notes on actions that the observation decides, and on ranges of which little was tried."""
    seen, found = action_coverage(dataset), []
    if seen is None:
        return []
    for column, (from_obs, spread, width) in enumerate(zip(*seen, strict=True)):
        place = f"action column {column}"
        if spread < DETERMINED:
            message = (
                f"the observation decides {percent(max(from_obs, 0.0))} of it; the spread around that is "
                f"{percent(spread)} of the range"
            )
            advice = "what other actions do is not in the log: stay near the behaviour, and trust no model far from it"
            found.append(Finding("coverage", "note", place, float(spread), message, advice))
        if width < NARROW:
            message = f"98% of the actions lie within {percent(width)} of the range"
            advice = "the rest of the range is unknown; narrower bounds would say so"
            found.append(Finding("coverage", "note", place, float(width), message, advice))
    return found
