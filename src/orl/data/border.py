"""Where actions cross from the agent's [-1, 1] to the environment's bounds and back."""

from __future__ import annotations

from typing import Any


def to_env_action(action: Any, low: Any, high: Any) -> Any:
    """Action in the environment's units from one in [-1, 1]; works on NumPy and JAX arrays alike."""
    return low + (action + 1.0) * 0.5 * (high - low)


def to_agent_action(action: Any, low: Any, high: Any) -> Any:
    """Action in [-1, 1] from one in the environment's units."""
    return 2.0 * (action - low) / (high - low) - 1.0
