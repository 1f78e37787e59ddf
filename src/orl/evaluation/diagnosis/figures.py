"""Figures of a diagnosis, made without a display; whoever asked for one saves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from orl.evaluation.figures import REAL

MOST_POINTS = 3000


def calibration_figure(section: Mapping[str, Any]) -> Figure:
    """Coverage of central intervals against their level, a line a column of the section `calibration`."""
    figure = Figure(figsize=(5.0, 4.6), layout="constrained", dpi=110)
    axis = figure.subplots()
    levels, coverage = section["levels"], np.asarray(section["coverage"])
    axis.plot([0, 1], [0, 1], color=REAL, linestyle="--", label="calibrated")
    for column, shares in enumerate(coverage.T):
        name = section["columns"][column] if coverage.shape[1] <= 6 else None
        axis.plot(levels, shares, linewidth=1.0, alpha=0.8, marker="o", markersize=3, label=name)
    axis.plot(levels, coverage.mean(axis=1), color=REAL, linewidth=2.2, label="mean")
    axis.text(0.03, 0.97, "spread too wide", color="0.45", fontsize="small", va="top")
    axis.text(0.3, 0.06, "spread too narrow", color="0.45", fontsize="small")
    axis.set(xlabel="level of the predicted central interval", ylabel="share of held-out rows inside")
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.grid(alpha=0.25)
    axis.legend(fontsize="small", loc="lower right")
    return figure


def uncertainty_figure(u: ArrayLike, error: ArrayLike, name: str, factor: float | None, bins: Sequence[Any]) -> Figure:
    """u against the true error of held-out rows [N], and its admissibility by distance from the training data.

    `bins` are dicts of `low`, `high`, `admissible` and `admissible_with_factor`.
    """
    figure = Figure(figsize=(10.0, 4.2), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    x, y = (np.asarray(values)[: MOST_POINTS * 8] for values in (u, error))
    stride = max(len(x) // MOST_POINTS, 1)
    left.scatter(x[::stride], y[::stride], s=5, alpha=0.35, linewidths=0)
    ends = np.asarray([x.min(), x.max()])
    left.plot(ends, ends, color=REAL, linestyle="--", label="error = u")
    if factor:
        left.plot(ends, factor * ends, color="C3", label=f"error = {factor:.3g} u")
    left.set(xlabel=f"u = {name}", ylabel="true error on held-out rows")
    if x.min() > 0:
        left.set(xscale="log", yscale="log")
        for scale in (left.xaxis, left.yaxis):
            scale.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            scale.set_major_formatter("{x:g}")
            scale.set_minor_formatter(NullFormatter())
    left.legend(fontsize="small")
    place = np.arange(len(bins))
    labels = [f"{each['high']:.2g}" if each["high"] > 1e-6 else "0" for each in bins]
    right.bar(place - 0.2, [each["admissible"] for each in bins], 0.4, color="C0", label="u ≥ error")
    if factor:
        shares = [each["admissible_with_factor"] for each in bins]
        right.bar(place + 0.2, shares, 0.4, color="C3", label=f"{factor:.3g} u ≥ error")
    right.set(xlabel="distance from the training data, up to (fifths of the rows)", ylabel="share admissible")
    right.set_xticks(place, labels, fontsize="small")
    right.set_ylim(0, 1.02)
    right.legend(fontsize="small", loc="lower left")
    for axis in (left, right):
        axis.grid(alpha=0.25)
    return figure


def policy_figure(seed: Mapping[str, Any]) -> Figure:
    """The theorems' terms of one seed beside the gain promised, and the share outside the data by steps ahead."""
    figure = Figure(figsize=(10.0, 3.8), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _terms(left, seed)
    ranges = seed["outside_by_step"]
    spans = [(each["first"], each["last"]) for each in ranges]
    labels = [f"{first}" if first == last else f"{first}–{last}" for first, last in spans]
    right.bar(labels, [each["outside"] for each in ranges], color="C1")
    right.axhline(0.01, color=REAL, linestyle="--", linewidth=1.0, label="held-out rows")
    right.set(xlabel="model steps from the start", ylabel="share outside the data", ylim=(0, 1.02))
    right.tick_params(axis="x", labelrotation=30, labelsize="small")
    right.legend(fontsize="small")
    return figure


def _terms(axis: Axes, seed: Mapping[str, Any]) -> None:
    """Horizontal bars in return units, the promise on top; pale where lambda is below what held-out rows need."""
    names, values, colours = ["gain promised by the model"], [seed["promised_gain"]], [to_rgba("C0")]
    for each in seed["guarantees"]:
        needed = "?" if each["needed"] is None else f"{each['needed']:.3g}"
        whose = f"λ = {each['coef']:.3g} ({each['source']}; {needed} needed)"
        names += [f"gain guaranteed\n{whose}", f"most it may lose (2λε)\n{whose}"]
        values += [each["guaranteed_gain"], None if each["worst_loss"] is None else -each["worst_loss"]]
        alpha = 1.0 if each["holds"] else 0.35
        colours += [to_rgba("C2", alpha), to_rgba("C3", alpha)]
    place = np.arange(len(names))
    axis.barh(place, np.asarray(values, float), color=colours)  # what ran away is None
    axis.set_yticks(place, names, fontsize="small")
    axis.invert_yaxis()
    axis.axvline(0.0, color=REAL, linewidth=1.0)
    axis.set_xlabel("discounted return, against the behaviour")
    axis.bar_label(axis.containers[0], fmt="%.3g", padding=3, fontsize="small")  # type: ignore[arg-type]
    axis.margins(x=0.15)
    axis.grid(alpha=0.25, axis="x")
