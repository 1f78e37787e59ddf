"""Figures of a model: errors by horizon, calibration, uncertainty by distance, and predicted trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orl.runs.report.html import shown
from orl.runs.report.plots import INK, MUTED, SERIES, Axis, Figure, Line, lines

SPREADS = "error / spread of the training data"
REWARD = "reward"


def horizon_figure(name: str, diagnosis: Mapping[str, Any]) -> Figure:
    """Error by steps ahead of the model, of a linear one and of predicting no change."""
    errors, breaks = diagnosis["horizon"]["error"], diagnosis["horizon"]["break_even"]
    steps = range(1, len(errors["persistence"]) + 1)
    series = [
        Line(name, steps, errors["model"], SERIES[0]),
        Line("linear model", steps, errors["linear"], SERIES[1]),
        Line("no change", steps, errors["persistence"], MUTED, dash=[5, 4]),
    ]
    alt = f"The {name}'s open-loop error by steps ahead against a linear model and predicting no change."
    even = breaks.get("persistence")
    alt += f" From step {even} on it predicts no better than no change." if even else " It stays below no change."
    return lines(
        "How far ahead the model can be believed",
        alt,
        Axis("steps ahead (open loop)"),
        Axis(SPREADS, _twice_the_worst(errors["persistence"]), 0.0),
        series,
    )


def k_step_figure(name: str, k_step: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The fit's own report: error at a few numbers of steps ahead, and that of predicting no change."""
    steps = [int(key) for key in k_step]
    errors = [entry["rmse"] for entry in k_step.values()]
    ratios = [entry["rmse_over_persistence"] for entry in k_step.values()]
    still = [
        error / ratio if error is not None and ratio else None for error, ratio in zip(errors, ratios, strict=True)
    ]
    series = [Line(name, steps, errors, SERIES[0]), Line("no change", steps, still, MUTED, dash=[5, 4])]
    alt = f"Held-out error of the {name} at {', '.join(map(str, steps))} steps ahead, against predicting no change."
    return lines(
        "Held-out error by steps ahead (report of the fit)",
        alt,
        Axis("steps ahead (open loop)"),
        Axis(SPREADS, _twice_the_worst(still), 0.0),
        series,
    )


def calibration_figure(calibration: Mapping[str, Any]) -> Figure:
    """Coverage of predicted intervals against their level: observations as mean and range over dimensions."""
    levels, columns = calibration["levels"], calibration["columns"]
    by_column = {
        name: [row[index] for row in calibration["coverage"] if index < len(row)] for index, name in enumerate(columns)
    }
    observed = [values for name, values in by_column.items() if name != REWARD]
    series = [Line("calibrated", [0.0, 1.0], [0.0, 1.0], MUTED, dash=[5, 4])]
    if observed:
        at = list(zip(*observed, strict=False))
        mean, low, high = [sum(v) / len(v) for v in at], [min(v) for v in at], [max(v) for v in at]
        series.append(Line("observations", levels, mean, SERIES[0], low, high))
    if REWARD in by_column:
        series.append(Line(REWARD, levels, by_column[REWARD], SERIES[1]))
    alt = (
        "Share of held-out values inside the model's central intervals against the level of the interval: mean over "
        f"observation dimensions with their range, and the reward. Mean distance from the diagonal "
        f"{shown(calibration['expected_calibration_error'])}."
    )
    return lines(
        "Whether the model knows how sure to be",
        alt,
        Axis("level of the predicted interval", 1.0, 0.0),
        Axis("share of held-out values inside", 1.0, 0.0),
        series,
    )


def distance_figure(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Error and uncertainty of held-out rows by how far they are from the training rows."""
    middle = [(each["low"] + each["high"]) / 2 for each in bins]
    series = [
        Line("error", middle, [each["error"] for each in bins], SERIES[1]),
        Line("uncertainty", middle, [each["u"] for each in bins], SERIES[0]),
    ]
    alt = "Mean one-step error and mean uncertainty of held-out rows by distance from the nearest training row."
    return lines(
        "Whether doubt grows with the distance from the data",
        alt,
        Axis("distance from the nearest training row (standard deviations)"),
        Axis("mean over rows", None, 0.0),
        series,
    )


def trajectory_figures(prediction: Mapping[str, Any]) -> list[Figure]:
    """Per observation dimension, what followed a held-out state and what each model drew instead."""
    return [_trajectory(each, prediction["actions"]) for each in prediction["dims"]]


def _trajectory(dim: Mapping[str, Any], actions: str) -> Figure:
    real = dim["real"]
    steps = range(len(real))
    series = []
    for index, (name, draws) in enumerate(dim["predicted"].items()):
        colour = SERIES[index % len(SERIES)]
        series += [Line(name if draw == 0 else "", steps, path, colour, width=1.2) for draw, path in enumerate(draws)]
    series.append(Line("real", steps, real, INK))
    known = [value for value in real if value is not None] or [0.0]
    margin = 0.4 * (max(known) - min(known)) + 1e-6
    names = " and ".join(dim["predicted"])
    alt = f"Observation {dim['dim']} after a held-out state under {actions} actions: real, and as {names} predicts it."
    return lines(
        f"Predicted and real: observation {dim['dim']}",
        alt,
        Axis("steps ahead"),
        Axis(f"obs {dim['dim']}", max(known) + margin, min(known) - margin),
        series,
    )


def fit_figure(name: str, curves: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """The held-out loss over the epochs of a fit."""
    for key, title in (("holdout_mse", "held-out mean squared error"), ("holdout_loss", "held-out loss (nats)")):
        if key in curves and curves[key]["steps"]:
            found = curves[key]
            alt = f"{title} of the {name} over {found['steps'][-1]} epochs, {shown(found['mean'][-1])} at the end."
            return lines(
                "How the fit went",
                alt,
                Axis("epoch"),
                Axis(title),
                [Line(name, found["steps"], found["mean"], SERIES[0])],
            )
    return None


def _twice_the_worst(errors: Sequence[float | None]) -> float | None:
    """Where the axis ends, so that a prediction that runs away does not hide the rest."""
    known = [value for value in errors if value is not None]
    return 2.0 * max(known) if known else None
