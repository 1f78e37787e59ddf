"""Where the agent meets the environment: actions from [-1, 1] to its bounds and back, observations in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.errors import DataError


def to_env_action(action: Any, low: Any, high: Any) -> Any:
    """Action in the environment's units from one in [-1, 1]; works on NumPy and JAX arrays alike."""
    return low + (action + 1.0) * 0.5 * (high - low)


def to_agent_action(action: Any, low: Any, high: Any) -> Any:
    """Action in [-1, 1] from one in the environment's units."""
    return 2.0 * (action - low) / (high - low) - 1.0


def agent_action(action: NDArray, low: NDArray, high: NDArray) -> NDArray[np.float32]:
    """`to_agent_action` [..., A] as float32, held inside [-1, 1]: rounding may leave the box by an ulp."""
    return np.clip(to_agent_action(action, low, high).astype(np.float32), -1.0, 1.0)


def observation_rows(obs: ArrayLike, obs_dim: int, who: str) -> tuple[NDArray[np.float32], bool]:
    """(observations [B, O], whether it was a single one [O]) for `who` ("policy", "planner") that takes O numbers.

    Raises:
        DataError: they are of another size.
    """
    array = np.asarray(obs, np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != obs_dim:
        raise DataError(f"observation of shape {array.shape}; this {who} takes [{obs_dim}] or a batch of them")
    return (array, False) if array.ndim == 2 else (array[None], True)
