"""The order of the tokens: each transition is O observation, A action, one reward and one value token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("obs", "action", "reward", "value")


@dataclass(frozen=True)
class Layout:
    """Sizes of a transition's tokens. "Dimension" means a token's place within its transition, 0 to ``dims`` - 1."""

    obs_dim: int
    action_dim: int

    @property
    def dims(self) -> int:
        """D = O + A + 2 tokens a transition."""
        return self.obs_dim + self.action_dim + 2

    @property
    def first_action(self) -> int:
        """Dimension of the first action token."""
        return self.obs_dim

    @property
    def reward(self) -> int:
        """Dimension of the reward token."""
        return self.obs_dim + self.action_dim

    @property
    def value(self) -> int:
        """Dimension of the value token, the transition's last."""
        return self.obs_dim + self.action_dim + 1

    def kind_of_dim(self) -> NDArray[np.int64]:
        """[D] index into KINDS."""
        return np.repeat(np.arange(4), [self.obs_dim, self.action_dim, 1, 1])
