"""Figures of a log: what its episodes returned, how long they were, and what was tried where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orl.runs.report.html import shown
from orl.runs.report.marks import Rule, cells, histogram
from orl.runs.report.plots import Figure


def data_figures(summary: Mapping[str, Any]) -> list[Figure]:
    """Returns, lengths where they differ, states and actions."""
    returns, lengths = (summary["overview"][key] for key in ("returns", "lengths"))
    found = [returns_figure(summary["returns"], returns)]
    if lengths["0%"] != lengths["100%"]:
        found.append(lengths_figure(summary["lengths"], lengths))
    if summary["states"]:
        found.append(states_figure(summary["states"]))
    actions = zip(summary["actions"], summary["overview"]["actions"], strict=False)
    return found + [action_figure(dim, bins, column) for dim, (bins, column) in enumerate(actions)]


def returns_figure(bins: Mapping[str, Any], quantiles: Mapping[str, Any]) -> Figure:
    """How the logged episodes' returns are spread."""
    alt = (
        f"Histogram of the returns of logged episodes: from {shown(quantiles['0%'])} to {shown(quantiles['100%'])}, "
        f"median {shown(quantiles['50%'])}, the middle 80% from {shown(quantiles['10%'])} to {shown(quantiles['90%'])}."
    )
    return histogram(
        "What logged episodes returned",
        alt,
        "return (undiscounted)",
        "episodes",
        bins,
        [Rule("median", quantiles["50%"])],
    )


def lengths_figure(bins: Mapping[str, Any], quantiles: Mapping[str, Any]) -> Figure:
    """How long the logged episodes are."""
    alt = (
        f"Histogram of the lengths of logged episodes: from {shown(quantiles['0%'])} to {shown(quantiles['100%'])} "
        f"steps, median {shown(quantiles['50%'])}."
    )
    return histogram("How long logged episodes are", alt, "steps", "episodes", bins, [Rule("median", quantiles["50%"])])


def states_figure(states: Mapping[str, Any]) -> Figure:
    """Where in the plane of greatest variance the log is: beyond, a model has nothing to go by."""
    first, second = (f"direction {index + 1} ({share:.0%})" for index, share in enumerate(states["share"]))
    alt = (
        f"Map of {states['rows']:,} logged observations in the plane of their greatest variance, which holds "
        f"{sum(states['share']):.0%} of it: {len(states['cells'])} of 784 cells are filled. What lies in empty ones is "
        "not in the log."
    )
    return cells("Which observations the log covers", alt, first, second, "rows", states["cells"])


def action_figure(dim: int, bins: Mapping[str, Any], column: Mapping[str, Any]) -> Figure:
    """What of an action's range was tried."""
    alt = f"Histogram of logged action {dim}"
    if column["width"] is not None:
        alt += (
            f": its middle 98% fills {column['width']:.0%} of the range, and the observation decides "
            f"{max(column['r2_from_obs'] or 0.0, 0.0):.0%} of it"
        )
    bounds = [Rule("low", column["low"]), Rule("high", column["high"])] if column["low"] is not None else []
    return histogram(f"What was tried: action {dim}", alt + ".", f"action {dim}", "steps", bins, bounds)
