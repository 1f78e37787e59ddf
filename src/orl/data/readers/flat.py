"""What the readers of flat logs share: rows one after the other, with flags where an episode ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.check import TOLERANCE
from orl.data.episodes import Bools, Dataset, Floats, Reference
from orl.errors import DataError


def columns(path: Path, arrays: dict[str, np.ndarray], wide: tuple[str, ...]) -> dict[str, np.ndarray]:
    """`arrays` with the `wide` ones as [N, D] and the others as [N], all of one length N > 0.

    Raises:
        DataError: a wrong number of axes, unlike lengths, or no rows.
    """
    shaped: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        is_scalar = key not in wide and array.ndim == 2 and array.shape[1] == 1
        shaped[key] = array[:, 0] if is_scalar else array
        expected = 2 if key in wide else 1
        if shaped[key].ndim != expected:
            raise DataError(f"{path}: '{key}' has shape {array.shape}, expected {expected} axes (one row a step)")
        if not all(shaped[key].shape[1:]):
            raise DataError(f"{path}: '{key}' has shape {array.shape}, no columns")
        if shaped[key].dtype.kind not in "biuf":
            raise DataError(f"{path}: '{key}' holds {array.dtype}, not numbers")
    lengths = {key: len(array) for key, array in shaped.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: arrays of unlike lengths {lengths}; every key needs one row a step")
    if not next(iter(lengths.values())):
        raise DataError(f"{path}: holds no steps")
    return shaped


def flag(path: Path | str, key: str, array: np.ndarray) -> Bools:
    """[N] bool from a column of zeros and ones.

    Raises:
        DataError: any other value.
    """
    odd = np.flatnonzero((array != 0) & (array != 1))
    if len(odd):
        raise DataError(f"{path}: '{key}' must be 0 or 1, but row {odd[0]} is {array[odd[0]]}")
    return array.astype(bool)


def chain_breaks(obs: np.ndarray, next_obs: np.ndarray) -> NDArray[np.int64]:
    """Rows t of [N, O] arrays whose next_obs is not the obs of row t + 1, beyond rounding.

    The tolerance follows each column's spread, so that it means the same for metres and for micrometres.
    """
    broken = np.zeros(len(obs) - 1, bool)
    with np.errstate(invalid="ignore"):  # values that are not finite are reported by the checks that follow
        for column in range(obs.shape[1]):  # one at a time, for a log may nearly fill the memory
            values = obs[:, column].astype(np.float64)
            following, finite = values[1:], values[np.isfinite(values)]
            tolerance = 1e-4 * (finite.std() if len(finite) else 0.0) + 1e-6 * np.abs(following)
            broken |= np.abs(next_obs[:-1, column] - following) > tolerance
    return np.flatnonzero(broken)


def check_chain(path: Path, obs: np.ndarray, next_obs: np.ndarray, ends: Bools) -> None:
    """Refuse a log whose next observations [N, O] contradict the following row inside an episode.

    Raises:
        DataError: names the first such row and counts them.
    """
    breaks = chain_breaks(obs, next_obs)
    breaks = breaks[~ends[breaks]]
    if len(breaks):
        raise DataError(
            f"{path}: next observation of row {breaks[0]} is not the observation of row {breaks[0] + 1}, though no "
            f"flag ends the episode there ({len(breaks)} such rows); flags or rows are shifted, use a repaired version"
        )


def bounds_from_data(action: np.ndarray) -> tuple[Floats, Floats]:
    """[-1, 1] in every dimension if all of `action` [N, A] is inside it, else the logged range of each dimension."""
    actions = np.asarray(action, np.float32)
    if np.abs(actions).max() <= 1.0 + 2 * TOLERANCE:
        return np.full(actions.shape[1], -1, np.float32), np.full(actions.shape[1], 1, np.float32)
    return actions.min(axis=0), actions.max(axis=0)


def assemble(
    name: str,
    data: dict[str, np.ndarray],
    terminated: Bools,
    truncated: Bools,
    reference: Reference | None,
) -> Dataset:
    """A dataset from rows [N, ...] obs, action, reward, next_obs, and flags [N]; a last row without one is a cut."""
    ends = terminated | truncated
    ends[-1] = True
    low, high = bounds_from_data(data["action"])
    rows: dict[str, Any] = {
        key: np.ascontiguousarray(data[key], np.float32) for key in ("obs", "action", "reward", "next_obs")
    }
    return Dataset(
        name=name,
        **rows,
        terminated=terminated,
        truncated=ends & (truncated | ~terminated),
        starts=np.concatenate([[0], np.flatnonzero(ends[:-1]) + 1]).astype(np.int64),
        action_low=low,
        action_high=high,
        reference=reference,
    )
