"""The checks that every dataset passes before anything is learned from it."""

from __future__ import annotations

import dataclasses

import numpy as np

from orl.data.episodes import Dataset, Floats
from orl.errors import DataError

TOLERANCE = 1e-5  # how far outside its bounds an action may lie, relative to their range, and still be clipped


def validate(dataset: Dataset) -> Dataset:
    """`dataset` with actions clipped to their bounds, after every check has passed.

    Raises:
        DataError: empty, unlike lengths, bad episode starts, values that are not finite, bounds that are not, actions
            outside them, or an end flag inside an episode. Names the array, the row and what to do.
    """
    require_layout(dataset)
    for name in ("obs", "action", "reward", "next_obs"):
        _check_finite(dataset.name, name, getattr(dataset, name))
    _check_flags(dataset)
    _check_bounds(dataset)
    return dataclasses.replace(dataset, action=_clipped_actions(dataset))


def require_layout(dataset: Dataset) -> Dataset:
    """`dataset`, whose rows and episodes can be told apart, whatever their values: all that `data.audit` needs.

    Raises:
        DataError: empty, unlike lengths, wrong shapes, or bad episode starts.
    """
    _check_shapes(dataset)
    _check_starts(dataset)
    return dataset


def _check_shapes(dataset: Dataset) -> None:
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    lengths = {name: len(getattr(dataset, name)) for name in names}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{dataset.name}: arrays of unlike lengths {lengths}; every array needs one row a step")
    if not lengths["reward"]:
        raise DataError(f"{dataset.name}: holds no steps")
    axes = {name: getattr(dataset, name).ndim for name in names}
    wide = {"obs": 2, "action": 2, "reward": 1, "next_obs": 2, "terminated": 1, "truncated": 1}
    if axes != wide or dataset.obs.shape != dataset.next_obs.shape:
        shapes = {name: getattr(dataset, name).shape for name in names}
        raise DataError(f"{dataset.name}: shapes {shapes}; expected [N, O], [N, A], [N], [N, O], [N], [N]")
    if not dataset.obs.shape[1] or not dataset.action.shape[1]:
        raise DataError(f"{dataset.name}: observations or actions have no columns")


def _check_starts(dataset: Dataset) -> None:
    starts = dataset.starts
    if not len(starts) or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= len(dataset):
        raise DataError(f"{dataset.name}: episode starts must rise from 0 and stay below {len(dataset)} rows")


def _check_finite(name: str, array_name: str, array: np.ndarray) -> None:
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    row, *column = np.argwhere(bad)[0]
    place = f"{array_name} column {column[0]}" if column else array_name
    raise DataError(
        f"{name}: {place} is {array[row, column[0]] if column else array[row]} at row {row} "
        f"({int(bad.sum())} such values in {array_name}); repair or remove those episodes"
    )


def _check_flags(dataset: Dataset) -> None:
    inside = dataset.terminated | dataset.truncated
    inside[dataset.starts[1:] - 1] = False
    inside[-1] = False
    if inside.any():
        row = int(np.argmax(inside))
        episode = int(dataset.episode_of_row[row])
        raise DataError(
            f"{dataset.name}: an end flag inside episode {episode}, at its step {row - dataset.starts[episode]} of "
            f"{dataset.lengths[episode]} (row {row}); split the episode there"
        )


def _check_bounds(dataset: Dataset) -> None:
    low, high, size = dataset.action_low, dataset.action_high, dataset.action.shape[1]
    if low.shape != (size,) or high.shape != (size,):
        raise DataError(f"{dataset.name}: action bounds of shape {low.shape} and {high.shape} for {size} dimensions")
    bad = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low < high)))
    if len(bad):
        first = bad[0]
        raise DataError(
            f"{dataset.name}: action dimension {first} is bounded by [{low[first]}, {high[first]}]; a finite low "
            "below a finite high is needed, so leave out a dimension that never varies"
        )


def _clipped_actions(dataset: Dataset) -> Floats:
    low, high, action = dataset.action_low, dataset.action_high, dataset.action
    excess = np.maximum(low - action, action - high) / (high - low)
    if excess.max() > TOLERANCE:
        row, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise DataError(
            f"{dataset.name}: action column {column} is {action[row, column]} at row {row}, outside its bounds "
            f"[{low[column]}, {high[column]}] ({int((excess > TOLERANCE).any(axis=1).sum())} such rows); clip what was "
            "logged to what the environment applied"
        )
    return np.clip(action, low, high)
