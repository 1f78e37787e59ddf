"""Episodes into a Minari dataset on disk, one at a time."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from orl.data.episodes import Floats
from orl.data.importing.episodes import Episode
from orl.data.importing.mapping import Mapping


def write_episode(file: Any, index: int, episode: Episode) -> None:
    """Add an episode to an open HDF5 file, in Minari's layout."""
    steps = len(episode.reward)
    ends = {"terminations": episode.terminated, "truncations": episode.truncated}
    group = file.create_group(f"episode_{index}")
    group.attrs.update({"id": index, "total_steps": steps})
    group["observations"], group["actions"], group["rewards"] = episode.obs, episode.action, episode.reward
    for name, ended in ends.items():
        flags = np.zeros(steps, bool)
        flags[-1] = ended
        group[name] = flags


def write_metadata(
    folder: Path,
    mapping: Mapping,
    low: Floats,
    high: Floats,
    obs_dim: int,
    steps: int,
    episodes: int,
    origin: dict[str, Any],
) -> None:
    """``metadata.json`` as Minari writes it, with where the data came from under ``import``; bounds [A]."""
    from importlib.metadata import version

    from gymnasium.spaces import Box
    from minari.serialization import serialize_space

    document: dict[str, Any] = {
        "total_episodes": episodes,
        "total_steps": steps,
        "data_format": "hdf5",
        "observation_space": serialize_space(Box(-np.inf, np.inf, (obs_dim,), np.float32)),
        "action_space": serialize_space(Box(low, high, dtype=np.float32)),
        "dataset_id": mapping.id,
        "author": ["orl"],
        "description": f"imported from {', '.join(source['name'] for source in origin['files'])}",
        "minari_version": version("minari"),
        "dataset_size": round(sum(file.stat().st_size for file in folder.iterdir()) / 2**20, 1),
        "import": origin,
    }
    if mapping.env_id:
        document["env_spec"] = _env_spec(mapping.env_id, mapping.time_limit)
    if mapping.reference_min is not None:
        document |= {"ref_min_score": mapping.reference_min, "ref_max_score": mapping.reference_max}
    (folder / "metadata.json").write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _env_spec(env_id: str, time_limit: int | None) -> str:
    """The registered environment's spec as JSON, or one of the id alone; nothing is imported or made."""
    from dataclasses import replace

    from gymnasium.envs.registration import EnvSpec, registry

    known = registry.get(env_id)
    if known is None:
        warnings.warn(f"Gymnasium does not know '{env_id}' here; register it before evaluating in it", stacklevel=4)
        known = EnvSpec(env_id)
    return replace(known, max_episode_steps=time_limit or known.max_episode_steps).to_json()
