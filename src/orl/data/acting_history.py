"""What a policy that acts has seen and done: the stacks of `data.history`, made step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.border import agent_action
from orl.data.episodes import Floats
from orl.data.history import first_stack, shift_history
from orl.types import Spec


class ActingHistory:
    """The stacks of B episodes played side by side; `recall` and `remember` take turns, once a step each."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._fresh: NDArray[np.bool_]  # episodes at their first step
        self._stacked: Floats
        self._action: Floats
        self._low, self._high = (np.asarray(x, np.float32) for x in (spec.action_low, spec.action_high))
        self._begin(0)

    def recall(self, obs: Floats) -> Floats:
        """[B, W] current observations [B, O] on top of what came before; other many episodes are new ones."""
        if not self._spec.history:
            return obs
        if len(obs) != len(self._fresh):
            self._begin(len(obs))
        first = first_stack(obs, self._spec.history, self._spec.action_dim)
        later = shift_history(self._stacked, self._action, obs)
        self._stacked = np.where(self._fresh[:, None], first, later)
        self._fresh[:] = False
        return self._stacked

    def remember(self, action: Floats) -> None:
        """The actions [B, A] that are played now, in the environment's units."""
        if self._spec.history:
            self._action = agent_action(action, self._low, self._high)

    def reset(self, rows: Any = None) -> None:
        """Begin new episodes in these rows of the batch; in all of them, when None."""
        if len(self._fresh):
            self._fresh[slice(None) if rows is None else np.asarray(rows)] = True

    def _begin(self, rows: int) -> None:
        self._fresh = np.ones(rows, bool)
        self._stacked = np.zeros((rows, self._spec.stacked_dim), np.float32)
        self._action = np.zeros((rows, self._spec.action_dim), np.float32)
