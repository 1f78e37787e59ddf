"""The data behind a run, read again: returns, lengths, actions and where in the state space the log is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.audit import overview
from orl.data.episodes import Dataset
from orl.errors import OrlError
from orl.runs.loading import dataset_of
from orl.runs.report.sources import Source
from orl.runs.reporter import Reporter

ReadLog = Callable[[Source, Reporter], dict[str, Any]]
BINS, MAX_DIMS, CELLS = 30, 12, 28
MAX_ROWS = 50_000  # of the map of states: more change no cell visibly


def read_log(source: Source, reporter: Reporter) -> dict[str, Any]:
    """`{"summary": ...}`, or `{"missing": why}` where the dataset is not there any more or holds something else."""
    try:
        dataset = dataset_of(source.run, reporter)
    except OrlError as error:
        return {"summary": None, "missing": str(error)}
    return {"summary": summary(dataset), "missing": None}


def leave_log(source: Source, reporter: Reporter) -> dict[str, Any]:
    """In place of `read_log` where the data are not to be read."""
    return {"summary": None, "missing": "it was not asked for (--no-data)"}


def remembering(read: ReadLog) -> ReadLog:
    """`read`, asked once for each dataset."""
    known: dict[str, dict[str, Any]] = {}

    def remembered(source: Source, reporter: Reporter) -> dict[str, Any]:
        name = str(source.run.record.get("fingerprint"))
        if name not in known:
            known[name] = read(source, reporter)
        return known[name]

    return remembered


def summary(dataset: Dataset) -> dict[str, Any]:
    """`overview` of `orl data check`, with histograms of returns, lengths and actions, and a map of the states."""
    dims = min(dataset.action.shape[1], MAX_DIMS)
    bounds = zip(dataset.action_low, dataset.action_high, strict=True)
    ranges = [(float(low), float(high)) if np.isfinite([low, high]).all() else None for low, high in bounds]
    return {
        "overview": overview(dataset),
        "returns": histogram(dataset.returns),
        "lengths": histogram(dataset.lengths),
        "actions": [histogram(dataset.action[:, dim], ranges[dim]) for dim in range(dims)],
        "states": state_map(dataset.obs),
    }


def histogram(values: NDArray[Any], span: tuple[float, float] | None = None) -> dict[str, list[Any]]:
    """`edges` [K + 1] and `counts` [K] of the finite values [N], over `span` or from the least to the greatest."""
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    if not len(finite):
        return {"edges": [], "counts": []}
    low, high = span or (float(finite.min()), float(finite.max()))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(finite, bins=BINS, range=(low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def principal_axes(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two directions [2, O] of greatest variance of standardised rows [N, O], and their shares of all of it [2].

    Each direction's largest entry is positive, so that the map does not depend on the sign of an eigenvector.
    """
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), 1e-300)
    axes = directions[:2]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return axes * signs[:, None], share[:2]


def state_map(obs: NDArray[Any]) -> dict[str, Any] | None:
    """How many rows of obs [N, O] lie in each cell of the plane of greatest variance, empty cells left out.

    Columns are standardised first. None where observations have one dimension, or nothing varies in two.
    """
    chosen = np.unique(np.linspace(0, len(obs) - 1, min(len(obs), MAX_ROWS)).round().astype(int))
    rows = obs[chosen].astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    spread = rows.std(axis=0) if len(rows) else np.zeros(obs.shape[1])
    if (spread > 0).sum() < 2:
        return None
    rows = (rows - rows.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    axes, share = principal_axes(rows)
    placed = rows @ axes.T
    counts, x, y = np.histogram2d(placed[:, 0], placed[:, 1], bins=CELLS)
    filled = np.argwhere(counts > 0)
    cells = [[x[i], x[i + 1], y[j], y[j + 1], counts[i, j]] for i, j in filled]
    return {"share": share.tolist(), "cells": np.asarray(cells).tolist(), "rows": len(rows)}
