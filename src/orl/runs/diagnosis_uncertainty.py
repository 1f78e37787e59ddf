"""What an ensemble's uncertainties are worth on held-out rows, and how far from the training data they still are."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.errors import DataError
from orl.evaluation.diagnosis.errors import judge
from orl.evaluation.diagnosis.neighbours import by_distance, nearest_distance
from orl.runs.calibration import Calibration, calibrate
from orl.runs.diagnosis_data import NEAR_ROWS, Evidence
from orl.runs.diagnosis_model import plain
from orl.runs.fit_model import FittedModel
from orl.runs.reporter import Reporter
from orl.runs.stretches import evenly

OUTSIDE_QUANTILE = 0.99  # of held-out rows' distances: what lies beyond counts as outside the data


class Distances(NamedTuple):
    """Training rows [M, W+A] and distances of held-out rows [J] to them, in standard deviations of (obs, action); the
    whole of a stack counts, for the past is part of the state."""

    train: NDArray[np.float32]
    holdout: NDArray[np.float32]

    @property
    def threshold(self) -> float:
        """The distance beyond which something counts as outside the data."""
        return float(np.quantile(self.holdout, OUTSIDE_QUANTILE))


class Chosen(NamedTuple):
    """The calibrated uncertainty on the judged rows: u and the error it is about, [J] each."""

    calibration: Calibration
    u: NDArray[np.float64]
    error: NDArray[np.float64]


def distances(fitted: FittedModel, evidence: Evidence) -> Distances:
    """Held-out rows against the training rows, both sampled."""
    train, rows = evidence.train, evidence.judged_rows
    near = evenly(len(train.reward), NEAR_ROWS)
    known = standardised_pairs(fitted, train.obs[near], train.action[near])
    return Distances(known, nearest_distance(known, standardised_pairs(fitted, rows.obs, rows.action)))


def standardised_pairs(fitted: FittedModel, obs: Any, action: Any) -> NDArray[np.float32]:
    """[N, W+A] in standard deviations of the training data."""
    return np.asarray(fitted.params.inputs.apply(jnp.concatenate([obs, action], axis=-1)))


def calibrated(
    fitted: FittedModel, evidence: Evidence, discount: float, share: float, reporter: Reporter
) -> Chosen | None:
    """The calibration of every uncertainty; None (and a message) where no factor covers the errors."""
    try:
        found = calibrate(evidence.dataset, fitted, discount=discount, share=share)
    except DataError as error:
        reporter.message(f"no calibrated penalty: {error}")
        return None
    judged = judge(fitted.ensemble, fitted.params, evidence.judged_rows, found.chosen.units)
    return Chosen(found, judged.uncertainty[found.chosen.uncertainty], judged.error_of(found.chosen.uncertainty))


def uncertainty_sections(chosen: Chosen | None, known: Distances) -> dict[str, Any]:
    """The sections `uncertainties` (a line each), `penalty` (what was chosen) and `distance` (its bins)."""
    if chosen is None:
        return {"uncertainties": [], "penalty": None, "distance": None}
    penalty = chosen.calibration.document()
    factor = chosen.calibration.chosen.conformal_factor
    bare, covered = (by_distance(known.holdout, chosen.u, chosen.error, factor=each) for each in (1.0, factor))
    bins = [
        plain(one._asdict() | {"admissible_with_factor": other.admissible})
        for one, other in zip(bare, covered, strict=True)
    ]
    return {
        "uncertainties": penalty.pop("table"),
        "penalty": penalty,
        "distance": {"factor": plain(factor), "outside": known.threshold, "bins": bins},
    }
