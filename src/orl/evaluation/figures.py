"""Figures, made without a display; whoever asked for one saves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

MAX_DIMS = 12
REAL, COLOURS = "0.15", ("C0", "C1", "C2", "C3")


def prediction_figure(
    real: NDArray[np.float32], start: NDArray[np.float32], predictions: Mapping[str, NDArray[np.float32]]
) -> Figure:
    """The first start's observations, real [N, H, O] against predicted [draws, N, H, O]: a row a dimension, a column a
    model; `start` [N, O] is where both begin. Of more than twelve dimensions the first twelve are shown.
    """
    dims = min(real.shape[-1], MAX_DIMS)
    size = (4.5 * len(predictions) + 0.5, 1.6 * dims + 1.0)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = figure.subplots(dims, len(predictions), sharex=True, sharey="row", squeeze=False)
    steps = np.arange(real.shape[1] + 1)
    for column, (name, drawn) in enumerate(predictions.items()):
        axes[0, column].set_title(name)
        axes[-1, column].set_xlabel("steps ahead")
        for dim in range(dims):
            axis = axes[dim, column]
            for index, path in enumerate(drawn[:, 0, :, dim]):
                label = "predicted" if index == 0 else None
                whole = np.append(start[0, dim], path)
                axis.plot(steps, whole, color=COLOURS[column % 4], alpha=0.6, linewidth=1.0, label=label)
            truth = np.append(start[0, dim], real[0, :, dim])
            axis.plot(steps, truth, color=REAL, linewidth=1.4, label="real")
            low, high = real[..., dim].min(), real[..., dim].max()
            axis.set_ylim(
                low - 0.3 * (high - low + 1e-6), high + 0.3 * (high - low + 1e-6)
            )  # a blow-up must not hide it
            axis.grid(alpha=0.25)
            if column == 0:
                axis.set_ylabel(f"obs {dim}")
    axes[0, 0].legend(loc="upper right", fontsize="small")
    return figure


def error_figure(errors: Mapping[str, Sequence[float | None]], persistence: Sequence[float | None]) -> Figure:
    """Error [H] against steps ahead, of every model and of predicting no change."""
    figure = Figure(figsize=(6.5, 4.0), layout="constrained", dpi=110)
    axis = figure.subplots()
    steps = np.arange(1, len(persistence) + 1)
    for colour, (name, values) in zip(COLOURS * len(errors), errors.items(), strict=False):
        axis.plot(steps, np.asarray(values, float), color=colour, label=name)
    axis.plot(steps, np.asarray(persistence, float), color=REAL, linestyle="--", label="no change")
    top = 2.0 * max(value for value in persistence if value is not None)
    axis.set(xlabel="steps ahead (open loop)", ylabel="error / training spread", ylim=(0.0, top))
    axis.set_xlim(1, max(len(persistence), 2))
    axis.grid(alpha=0.25)
    axis.legend()
    return figure
