"""The sound files that are broken: a log of five short episodes in every format, and two tiny runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

LENGTHS = (6, 1, 9, 4, 12)
TRUE_ENDS = (True, False, True, False, False)


def log() -> dict[str, np.ndarray]:
    """obs, next_obs [32, 3], action [32, 2], reward, done, cut, episode and t [32]; always the same."""
    rng, rows = np.random.default_rng(6), []
    for episode, (length, ends) in enumerate(zip(LENGTHS, TRUE_ENDS, strict=True)):
        states = rng.normal(size=(length + 1, 3)).astype(np.float32)
        for t in range(length):
            last = t == length - 1
            flags = {"done": ends and last, "cut": last and not ends, "episode": episode, "t": t}
            numbers = {"action": rng.uniform(-1, 1, 2).astype(np.float32), "reward": np.float32(rng.normal())}
            rows.append({"obs": states[t], "next_obs": states[t + 1]} | numbers | flags)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def table() -> Any:
    """The same as columns of single numbers: s_0.., n_0.., a_0.., r, done, cut, ep, t."""
    import polars as pl

    found = log()
    columns = {f"{to}_{i}": found[name][:, i] for name, to in WIDE.items() for i in range(found[name].shape[1])}
    return pl.DataFrame(columns | {to: found[name] for name, to in NARROW.items()})


WIDE = {"obs": "s", "next_obs": "n", "action": "a"}
NARROW = {"reward": "r", "done": "done", "cut": "cut", "episode": "ep", "t": "t"}
COLUMNS = {"obs": ["s_*"], "next_obs": ["n_*"], "action": ["a_*"], "reward": "r", "episode": ["ep"], "order": "t"}
COLUMNS |= {"terminated": "done", "truncated": "cut"}
D4RL = {"observations": "obs", "next_observations": "next_obs", "actions": "action", "rewards": "reward"}
D4RL |= {"terminals": "done", "timeouts": "cut"}
D4RL_COLUMNS = {"obs": ["observations"], "next_obs": ["next_observations"], "action": ["actions"], "reward": "rewards"}
D4RL_COLUMNS |= {"terminated": "terminals", "truncated": "timeouts"}
NEORL = {"obs": "obs", "next_obs": "next_obs", "action": "action", "reward": "reward", "done": "done"}
NEORL |= {"truncated": "cut"}
NEORL_COLUMNS = {"obs": ["obs"], "next_obs": ["next_obs"], "action": ["action"], "reward": "reward"}
NEORL_COLUMNS |= {"terminated": "done", "truncated": "truncated"}
ID = "fuzz/log-v0"


def renamed(names: dict[str, str]) -> dict[str, np.ndarray]:
    """The log's arrays under other names."""
    found = log()
    return {to: found[name] for to, name in names.items()}


def hdf5(content: dict[str, Any], **storage: Any) -> bytes:
    """Nested dicts of arrays as an HDF5 file; a function in place of an array is given the group and the name."""
    import h5py

    def write(group: Any, inner: dict[str, Any]) -> None:
        for name, value in inner.items():
            if isinstance(value, dict):
                write(group.create_group(name), value)
            elif callable(value):
                value(group, name)
            else:
                scalar = np.ndim(value) == 0
                group.create_dataset(name, data=value, **({} if scalar else storage))

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        write(file, content)
    return stream.getvalue()


def minari() -> tuple[dict[str, Any], dict[str, Any]]:
    """(metadata, episodes) of the log as a Minari dataset; its observation is a dict of two boxes."""
    found, first, episodes = log(), 0, {}
    for index, length in enumerate(LENGTHS):
        rows = slice(first, first + length)
        obs = np.concatenate([found["obs"][rows], found["next_obs"][rows][-1:]])
        flags = {"terminations": found["done"][rows], "truncations": found["cut"][rows]}
        numbers = {"actions": found["action"][rows], "rewards": found["reward"][rows]}
        episodes[f"episode_{index}"] = {"observations": {"a": obs[:, :2], "b": obs[:, 2:]}} | numbers | flags
        first += length
    box = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-9, -9], "high": [9, 9]}
    obs_space = {"type": "Dict", "subspaces": {"a": box, "b": box | {"shape": [1], "low": [-9], "high": [9]}}}
    metadata = {
        "dataset_id": ID,
        "data_format": "hdf5",
        "total_episodes": len(LENGTHS),
        "total_steps": sum(LENGTHS),
        "observation_space": json.dumps(obs_space),
        "action_space": json.dumps(box | {"low": [-1.0, -1.0], "high": [1.0, 1.0]}),
        "env_spec": json.dumps({"id": "Pendulum-v1", "kwargs": {"g": 9.8}, "max_episode_steps": 200}),
        "ref_min_score": -3.0,
        "ref_max_score": 4.0,
    }
    return metadata, episodes


def folder(path: Path) -> dict[str, bytes]:
    """Every file below `path` by its path there."""
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return {str(each.relative_to(path)): each.read_bytes() for each in files}
