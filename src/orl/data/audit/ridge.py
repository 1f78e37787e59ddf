"""Held-out errors of ridge regressions, in closed form from sums over the folds.

With X [N, M] and y [N, D], all that a ridge fit and its held-out error need are the sums X'X, X'y and y'y of each fold.
They are taken once; every question ("and without this column?") is then a small linear system.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

# Penalties per row, on features of mean square 1. The first only makes copies of a column solvable; the last leaves
# columns that the other episodes say nothing about near their mean. The best one is taken for each target.
RIDGES = (1e-6, 1e-3, 1e-1)


class Moments(NamedTuple):
    """Sums over the rows of each of F folds: X'X [F, M, M], X'y [F, M, D], y'y [F, D], and the rows [F]."""

    gram: Doubles
    cross: Doubles
    square: Doubles
    rows: Doubles


def fold_moments(features: Doubles, targets: Doubles, fold: Indices) -> Moments:
    """The sums for features [N, M], centred targets [N, D] and the fold of each row [N]."""
    parts = [(features[fold == f], targets[fold == f]) for f in range(int(fold.max()) + 1)]
    return Moments(
        gram=np.stack([x.T @ x for x, _ in parts]),
        cross=np.stack([x.T @ y for x, y in parts]),
        square=np.stack([(y**2).sum(axis=0) for _, y in parts]),
        rows=np.array([float(len(y)) for _, y in parts]),
    )


def ridge_weights(gram: Doubles, cross: Doubles, rows: ArrayLike, ridge: float) -> Doubles:
    """w = (X'X + ridge n I)^-1 X'y of X'X [..., M, M], X'y [..., M, D] and n rows [...].

    Reference: ridge regression, Hoerl and Kennard, 1970.
    """
    penalty = ridge * np.asarray(rows)[..., None, None] * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(gram + penalty, cross), np.float64)


def errors_by_ridge(moments: Moments, columns: Indices) -> Doubles:
    """[ridges, F, D] squared errors on each fold of the fit on all the others, on these `columns` of the features.

    With w fitted without the fold, its error is y'y - 2 w'X'y + w'X'X w with the fold's own sums.
    """
    gram, cross = moments.gram[:, columns[:, None], columns], moments.cross[:, columns]
    others = gram.sum(axis=0) - gram, cross.sum(axis=0) - cross, moments.rows.sum() - moments.rows
    tried = []
    for ridge in RIDGES:
        w = ridge_weights(*others, ridge)
        tried.append(moments.square - 2 * (w * cross).sum(axis=1) + (w * (gram @ w)).sum(axis=1))
    return np.maximum(np.stack(tried), 0.0)


def heldout_errors(moments: Moments, columns: Indices) -> Doubles:
    """[F, D] of `errors_by_ridge`, those of each target's best ridge."""
    errors = errors_by_ridge(moments, columns)
    best = errors.sum(axis=1).argmin(axis=0)
    return errors[best, :, np.arange(len(best))].T


def best_weights(moments: Moments) -> Doubles:
    """[M, D] weights of the fit on all folds; each target with the ridge that did best on folds left out."""
    gram, cross, rows = moments.gram.sum(axis=0), moments.cross.sum(axis=0), moments.rows.sum()
    if len(moments.rows) == 1:  # nothing to choose by
        return ridge_weights(gram, cross, rows, RIDGES[0])
    best = errors_by_ridge(moments, np.arange(len(gram))).sum(axis=1).argmin(axis=0)
    tried = np.stack([ridge_weights(gram, cross, rows, ridge) for ridge in RIDGES])
    return np.asarray(tried[best, :, np.arange(len(best))].T, np.float64)


def heldout_r2(moments: Moments, columns: Indices) -> Doubles:
    """[D] 1 - held-out squared errors / squares of the centred targets; 0 for a target without any."""
    return explained(heldout_errors(moments, columns), moments)


def explained(errors: Doubles, moments: Moments) -> Doubles:
    """[D] R^2 that squared `errors` [F, D] amount to."""
    total = moments.square.sum(axis=0)
    return 1.0 - np.divide(errors.sum(axis=0), total, out=np.ones_like(total), where=total > 0)
