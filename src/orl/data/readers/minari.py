"""Minari datasets, read as plain JSON and HDF5.

Minari's own loader can make the environment named in the metadata, which imports and runs whatever the entry point
says. Nothing of the metadata is executed here: spaces and the environment's spec are JSON values, and stay that.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from typing import Any

import numpy as np

from orl.data.episodes import Dataset, Floats, Reference
from orl.data.fields import Fields, fields_of
from orl.data.local import data_folder, read_metadata
from orl.data.readers.hdf5 import child, open_hdf5, read_array
from orl.data.readers.hub import download_minari
from orl.data.readers.limits import Room
from orl.errors import DataError

__all__ = ["download_minari", "read_minari"]


def read_minari(dataset_id: str) -> Dataset:
    """Read a local Minari dataset; dict and tuple observations are flattened in the order of ``obs_fields``.

    An episode without a flag at its end was cut there, so it counts as truncated. An infinite action bound is replaced
    by the logged range of that dimension, with a warning: a policy needs finite bounds, and the log supports no wider.

    Raises:
        DataError: not on disk, broken, discrete or nested actions, images or text, or arrays of unlike lengths.
    """
    metadata = read_metadata(dataset_id)
    if metadata.get("data_format", "hdf5") != "hdf5":
        raise DataError(f"{dataset_id}: stored as {metadata['data_format']}; only Minari's hdf5 format can be read")
    fields = fields_of(_space(metadata, "observation_space", dataset_id), dataset_id)
    low, high = _action_bounds(_space(metadata, "action_space", dataset_id), dataset_id)
    episodes = _read_episodes(dataset_id, metadata, fields, len(low))
    lengths = [len(episode["reward"]) for episode in episodes]
    rows: dict[str, Any] = {key: np.concatenate([episode[key] for episode in episodes]) for key in episodes[0]}
    low, high = _finite_bounds(low, high, rows["action"], dataset_id)
    return Dataset(
        name=dataset_id,
        **rows,
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        action_low=low,
        action_high=high,
        **env_fields(metadata),
        reference=_reference(metadata),
        obs_fields=() if fields[0][0] == "" else fields,
    )


def env_fields(metadata: dict[str, Any]) -> dict[str, Any]:
    """``env_id``, ``env_kwargs``, ``max_episode_steps`` and ``env_spec`` as recorded, read as data.

    Nothing here says that it may be made: `evaluation.recorded_env` judges that.
    """
    text = metadata.get("env_spec")
    try:
        spec = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        spec = {}
    spec = spec if isinstance(spec, dict) else {}
    env_id, kwargs, limit = spec.get("id"), spec.get("kwargs"), spec.get("max_episode_steps")
    return {
        "env_id": env_id if isinstance(env_id, str) else None,
        "env_kwargs": kwargs if isinstance(kwargs, dict) else {},
        "max_episode_steps": limit if isinstance(limit, int) and limit > 0 else None,
        "env_spec": text if isinstance(text, str) else None,
    }


def _space(metadata: dict[str, Any], key: str, dataset_id: str) -> dict[str, Any]:
    space = metadata.get(key)
    try:
        space = json.loads(space) if isinstance(space, str) else space
    except (ValueError, RecursionError):
        space = None
    if not isinstance(space, dict) or "type" not in space:
        raise DataError(f"{dataset_id}: its metadata have no readable {key}; fetch or record the dataset again")
    return space


def _action_bounds(space: dict[str, Any], dataset_id: str) -> tuple[Floats, Floats]:
    if space["type"] != "Box" or not str(space.get("dtype")).startswith("float"):
        raise DataError(
            f"{dataset_id}: actions are {space['type']} ({space.get('dtype')}); "
            "only continuous actions (a Box of floats) are supported"
        )
    try:
        low, high = (np.asarray(space.get(key), np.float32) for key in ("low", "high"))
    except (TypeError, ValueError):
        raise DataError(f"{dataset_id}: unreadable action bounds; fetch or record the dataset again") from None
    if low.ndim != 1 or low.shape != high.shape or not low.size:
        raise DataError(f"{dataset_id}: actions of shape {space.get('shape')}; a flat vector is needed")
    return low, high


def _finite_bounds(low: Floats, high: Floats, action: Floats, dataset_id: str) -> tuple[Floats, Floats]:
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    warnings.warn(f"{dataset_id}: infinite action bounds replaced by the range of the logged actions", stacklevel=3)
    return (
        np.where(np.isfinite(low), low, action.min(axis=0)),
        np.where(np.isfinite(high), high, action.max(axis=0)),
    )


def _reference(metadata: dict[str, Any]) -> Reference | None:
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not -math.inf < low < high < math.inf:
        return None
    return Reference(float(low), float(high), "the dataset's metadata")


def _read_episodes(
    dataset_id: str, metadata: dict[str, Any], fields: Fields, action_dim: int
) -> list[dict[str, np.ndarray]]:
    with open_hdf5(data_folder(dataset_id) / "main_data.hdf5") as file:
        names = [name for name in file if re.fullmatch(r"episode_\d+", name)]
        names.sort(key=lambda name: int(name.removeprefix("episode_")))
        stated = metadata.get("total_episodes", len(names))
        if not names or stated != len(names):
            raise DataError(f"{dataset_id}: {len(names)} episodes on file, {stated} in its metadata; fetch it again")
        room = Room()
        return [_read_episode(child(file, name), f"{dataset_id} {name}", fields, action_dim, room) for name in names]


def _read_episode(group: Any, where: str, fields: Fields, action_dim: int, room: Room) -> dict[str, np.ndarray]:
    """One episode as rows; Minari stores T + 1 observations for T steps, so no next observation has to be guessed."""
    action, reward, terminated, truncated = (
        _required(group, key, where, room) for key in ("actions", "rewards", "terminations", "truncations")
    )
    steps = len(reward)
    parts = [_required(group, f"observations/{name}".rstrip("/"), where, room) for name, _ in fields]
    sizes = {"actions": len(action), "terminations": len(terminated), "truncations": len(truncated)}
    if not steps or set(sizes.values()) != {steps} or {len(part) for part in parts} != {steps + 1}:
        raise DataError(
            f"{where}: {steps} rewards, {sizes}, observations {sorted({len(part) for part in parts})}; "
            f"expected T of each and T + 1 observations"
        )
    if action.shape[1:] != (action_dim,) or any(
        part[0].size != size for part, (_, size) in zip(parts, fields, strict=True)
    ):
        raise DataError(f"{where}: arrays do not have the shape of the recorded spaces; fetch or record it again")
    obs = np.concatenate([part.reshape(steps + 1, -1) for part in parts], axis=1).astype(np.float32)
    terminated, truncated = terminated.astype(bool), truncated.astype(bool)
    truncated[-1] |= not terminated[-1]
    return {
        "obs": obs[:-1],
        "action": action.astype(np.float32),
        "reward": reward.reshape(steps).astype(np.float32),
        "next_obs": obs[1:],
        "terminated": terminated,
        "truncated": truncated,
    }


def _required(group: Any, key: str, where: str, room: Room) -> np.ndarray:
    array = read_array(group, key, room)
    if array is None or not array.ndim:
        raise DataError(f"{where}: has no array '{key}'; fetch or record the dataset again")
    return array
