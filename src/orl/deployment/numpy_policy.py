"""A trained policy that needs nothing but NumPy. `orl export` wrote it, and the arrays beside it.

from policy import Policy

policy = Policy("policy.npz")
step = policy(obs)                  # obs [O] or a batch [B, O], float32, in the units and order of the model card
step.action                         # in the environment's units, inside its bounds
step.out_of_distribution            # True: the model does not know this input; None where no model was exported
step = policy(obs, step.next_memory)  # with a history: hand the memory on; None, or zeros, begins an episode
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FLAX_EPSILON = 1e-6  # of LayerNorm


class Step(NamedTuple):
    """What the policy answers: `action` [A], and of the rest what the file has; None what it has not.

    For a batch every one of them has a leading axis B.
    """

    action: Any
    uncertainty: Any = None
    out_of_distribution: Any = None
    next_memory: Any = None


class Policy:
    """The policy in an .npz file; it computes in float64 and answers in float32."""

    def __init__(self, path: str | Path) -> None:
        with np.load(path) as file:  # without pickles
            arrays = {name: file[name] for name in file.files}
        self.history = int(arrays["history"])
        self._x = {name: array.astype(np.float64) for name, array in arrays.items()}
        self.action_dim = len(self._x["action_low"])
        width = len(self._x["policy_mean"])
        self.obs_dim = (width - self.history * self.action_dim) // (self.history + 1)
        self.memory_dim = width - self.obs_dim + 1 if self.history else 0

    def __call__(self, obs: Any, memory: Any = None) -> Step:
        """Act on obs [O] or [B, O]; raises ValueError where an array has another size."""
        rows = np.asarray(obs, np.float32).astype(np.float64)
        single, rows = rows.ndim == 1, np.atleast_2d(rows)
        self._check(rows, self.obs_dim, "obs")
        past = np.zeros((len(rows), self.memory_dim)) if memory is None else np.atleast_2d(np.asarray(memory, float))
        self._check(past, self.memory_dim, "memory")
        if len(past) != len(rows):
            raise ValueError(f"memory of shape {past.shape} for {len(rows)} observations")
        stacked = self._recalled(rows, past) if self.history else rows
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number is flagged, not warned of
            step = self._act(stacked)
        return Step(*(None if part is None else part[0] for part in step)) if single else step

    def _act(self, stacked: Any) -> Step:
        low, high = self._x["action_low"], self._x["action_high"]
        chosen = np.tanh(self._perceptron("policy", stacked, lambda x: np.maximum(x, 0.0)))
        action = np.clip(low + (chosen + 1.0) * 0.5 * (high - low), low, high)
        memory = self._remembered(stacked, action) if self.history else None
        if "threshold" not in self._x:
            return Step(action.astype(np.float32), next_memory=memory)
        unsure = self._uncertainty(np.concatenate([stacked, chosen], axis=1))
        flag = ~(unsure <= self._x["threshold"])  # an uncertainty that is no number is above it
        return Step(action.astype(np.float32), unsure.astype(np.float32), flag, memory)

    def _perceptron(self, which: str, x: Any, activation: Any) -> Any:
        """Standardise x [B, I], then the layers of the policy, or of every member of the model."""
        x = (x - self._x[f"{which}_mean"]) / self._x[f"{which}_std"]
        last = sum(name.startswith(f"{which}_kernel_") for name in self._x) - 1
        for layer in range(last + 1):
            x = x @ self._x[f"{which}_kernel_{layer}"] + self._x[f"{which}_bias_{layer}"]
            if f"{which}_scale_{layer}" in self._x:
                centred = x - x.mean(axis=-1, keepdims=True)
                spread = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + FLAX_EPSILON)
                x = centred / spread * self._x[f"{which}_scale_{layer}"] + self._x[f"{which}_offset_{layer}"]
            x = activation(x) if layer < last else x
        return x

    def _uncertainty(self, x: Any) -> Any:
        """factor * max over pairs of members of the distance of their predictions, in training spreads."""
        mean = self._perceptron("model", x, _swish) * self._x["model_unit"]
        largest = np.zeros(len(x))
        for member in range(len(mean) - 1):
            distance = np.sum((mean[member] - mean[member + 1 :]) ** 2, axis=-1)
            largest = np.maximum(largest, distance.max(axis=0))
        return self._x["factor"] * np.sqrt(largest)

    def _recalled(self, obs: Any, memory: Any) -> Any:
        """The observation on top of its memory; on top of itself, with actions of 0, where an episode begins."""
        nothing = np.zeros((len(obs), self.history * self.action_dim))
        first = np.concatenate([np.tile(obs, self.history + 1), nothing], axis=1)
        return np.where(memory[:, -1:] > 0.5, np.concatenate([obs, memory[:, :-1]], axis=1), first)

    def _remembered(self, stacked: Any, action: Any) -> Any:
        """The memory for the next step, with this action, as it was played, in [-1, 1]."""
        low, high = self._x["action_low"], self._x["action_high"]
        played = np.clip(2.0 * (action - low) / (high - low) - 1.0, -1.0, 1.0)
        kept, actions = self.history * self.obs_dim, (self.history + 1) * self.obs_dim
        older = stacked[:, actions : actions + (self.history - 1) * self.action_dim]
        parts = [stacked[:, :kept], played, older, np.ones((len(stacked), 1))]
        return np.concatenate(parts, axis=1).astype(np.float32)

    @staticmethod
    def _check(rows: Any, size: int, name: str) -> None:
        if rows.ndim != 2 or rows.shape[1] != size:
            raise ValueError(f"{name} of shape {rows.shape}; this policy takes [{size}] or a batch [B, {size}]")


def _swish(x: Any) -> Any:
    """x * sigmoid(x), by tanh, which does not overflow."""
    return x * 0.5 * (1.0 + np.tanh(0.5 * x))
