"""Tiny datasets for the data tests, in memory and on disk, made by hand so that every value is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from orl.data.episodes import Dataset

BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-9, -9], "high": [9, 9]}
ACTIONS = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-1.0], "high": [1.0]}


def make_dataset(lengths: tuple[int, ...] = (3, 2), obs_dim: int = 2, **changes: Any) -> Dataset:
    """A sound dataset: obs counts rows, the first episode terminates, the others time out."""
    steps = sum(lengths)
    ends = np.cumsum(lengths) - 1
    terminated, truncated = np.zeros(steps, bool), np.zeros(steps, bool)
    terminated[ends[0]] = True
    truncated[ends[1:]] = True
    obs = np.arange(steps * obs_dim, dtype=np.float32).reshape(steps, obs_dim)
    content: dict[str, Any] = {
        "name": "made",
        "obs": obs,
        "action": np.linspace(-1, 1, steps, dtype=np.float32)[:, None],
        "reward": np.arange(steps, dtype=np.float32),
        "next_obs": obs + obs_dim,
        "terminated": terminated,
        "truncated": truncated,
        "starts": np.concatenate([[0], ends[:-1] + 1]).astype(np.int64),
        "action_low": np.array([-1], np.float32),
        "action_high": np.array([1], np.float32),
    }
    return Dataset(**(content | changes))


def minari_episode(steps: int, first: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Arrays of one episode in Minari's layout; observations count up from `first`, and it times out."""
    truncations = np.zeros(steps, bool)
    truncations[-1] = True
    return {
        "observations": first + np.arange((steps + 1) * 2, dtype=np.float32).reshape(steps + 1, 2),
        "actions": np.full((steps, 1), 0.5, np.float32),
        "rewards": np.arange(steps, dtype=np.float64),
        "terminations": np.zeros(steps, bool),
        "truncations": truncations,
    } | changes


def write_tree(group: Any, content: dict[str, Any]) -> None:
    """Nested dicts of arrays as HDF5 groups and datasets."""
    for key, value in content.items():
        if isinstance(value, dict):
            write_tree(group.create_group(key), value)
        else:
            group[key] = value


def write_minari(root: Path, dataset_id: str, episodes: list[dict[str, Any]], **metadata: Any) -> Path:
    """A Minari dataset on disk, written by hand; returns its HDF5 file."""
    import h5py

    folder = root / dataset_id / "data"
    folder.mkdir(parents=True)
    described = {
        "dataset_id": dataset_id,
        "data_format": "hdf5",
        "total_episodes": len(episodes),
        "total_steps": sum(len(episode["rewards"]) for episode in episodes),
        "observation_space": json.dumps(BOX),
        "action_space": json.dumps(ACTIONS),
    } | metadata
    (folder / "metadata.json").write_text(json.dumps(described))
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for index, episode in enumerate(episodes):
            write_tree(file.create_group(f"episode_{index}"), episode)
    return folder / "main_data.hdf5"
