"""`orl plan --obs`: one plan from one observation."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from orl.errors import UsageError
from orl.planning.receding import Planner


def plan_once(planner: Planner, obs: np.ndarray) -> dict[str, Any]:
    """What a planner expects from one observation [O] on, without a past: plain values, the environment's units."""
    action = planner(obs)
    assert planner.last is not None
    trajectory = jax.tree.map(lambda x: np.asarray(x)[0], planner.last.trajectory)
    return {
        "action": action.tolist(),
        "value": _finite(planner.last.value[0]),
        "trajectory": {
            "obs": trajectory.obs.tolist(),
            "action": planner.to_env(trajectory.action).tolist(),
            "reward": [_finite(x) for x in trajectory.reward],
            "value": [_finite(x) for x in trajectory.value],
        },
    }


def read_obs(text: str, size: int) -> np.ndarray:
    """[O] the observation of `--obs`: numbers between commas.

    Raises:
        UsageError: not numbers, or not as many as the model takes.
    """
    try:
        obs = np.array([float(part) for part in text.strip("[] ").split(",")], np.float32)
    except ValueError:
        raise UsageError(f"--obs {text}: expected numbers between commas, such as 1.0,0.0,0.0") from None
    if len(obs) != size or not np.isfinite(obs).all():
        raise UsageError(f"--obs {text}: the model takes {size} finite numbers, got {len(obs)}")
    return obs


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
