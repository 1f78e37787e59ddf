"""What every run writes down about its data, its presets and its machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax

from orl.config import Preset, as_tree
from orl.data.episodes import Dataset


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """What must agree for two runs to be about the same data."""
    return {"fingerprint": dataset.fingerprint}


def recorded_environment(dataset: Dataset) -> dict[str, Any]:
    """What the log says of its environment; only `evaluation.recorded_env` makes something of it."""
    return {
        "env_id": dataset.env_id,
        "env_kwargs": dataset.env_kwargs,
        "max_episode_steps": dataset.max_episode_steps,
        "env_spec": dataset.env_spec,
    }


def run_details(dataset: Dataset, presets: list[Preset]) -> dict[str, Any]:
    """The dataset's sizes, bounds, environment and reference; the presets in force; the device."""
    spec, reference = dataset.spec, dataset.reference
    return {
        "dataset": {
            "name": dataset.name,
            "steps": len(dataset),
            "episodes": dataset.n_episodes,
            "obs_dim": spec.obs_dim,
            "action_dim": spec.action_dim,
            "action_low": list(spec.action_low),
            "action_high": list(spec.action_high),
            "obs_fields": [list(pair) for pair in dataset.obs_fields],
            **recorded_environment(dataset),
            "reference": None
            if reference is None
            else {"min": reference.min, "max": reference.max, "source": reference.source},
            "mean_return": float(dataset.returns.mean()),
            "best_return": float(dataset.returns.max()),
        },
        "presets": [preset.path for preset in presets],
        "device": jax.devices()[0].device_kind,
    }


def config_digest(config: Any, fingerprint: str) -> str:
    """Eight hex digits that name these settings on this data; the dataset's spelling does not matter."""
    text = json.dumps(as_tree(config) | {"dataset": fingerprint}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
