"""A dataset: episodes laid end to end, with true ends and time-outs kept apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.types import Spec

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Reference:
    """Two returns that fix a score: 100 * (return - min) / (max - min). `source` says whose they are."""

    min: float
    max: float
    source: str

    def score(self, returns: Any) -> Any:
        """Normalised score of undiscounted episode returns, 0 at `min` and 100 at `max`."""
        return 100.0 * (np.asarray(returns) - self.min) / (self.max - self.min)


@dataclass(frozen=True)
class Dataset:
    """A log of N steps in E episodes, in the environment's own units.

    Attributes:
        name: what the user called it (a dataset id or a file path).
        obs, next_obs: [N, O]; ``next_obs`` of an episode's last step is that episode's own final observation.
        action: [N, A] in the environment's units, inside ``action_low``..``action_high``.
        reward: [N] reward per step.
        terminated: [N] true ends. truncated: [N] time-outs and cuts. Both are False inside an episode.
        starts: [E] row at which each episode begins, ascending, the first 0.
        env_spec: the recorded spec of the environment, as JSON text; only `evaluation.recorded_env` reads it.
        obs_fields: the order in which a dict observation was flattened, as (key, size) pairs; () for a plain one.
        history: how many earlier observations and actions come with each row (`data.history.stacked_rows`).
            The arrays here are the log's own, of one step each, whatever it is, and so is the fingerprint.
    """

    name: str
    obs: Floats
    action: Floats
    reward: Floats
    next_obs: Floats
    terminated: Bools
    truncated: Bools
    starts: NDArray[np.int64]
    action_low: Floats
    action_high: Floats
    env_id: str | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    env_spec: str | None = None
    reference: Reference | None = None
    obs_fields: tuple[tuple[str, int], ...] = ()
    history: int = 0

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def n_episodes(self) -> int:
        """How many episodes there are."""
        return len(self.starts)

    @property
    def spec(self) -> Spec:
        """Sizes and action bounds, for the networks and the border."""
        low, high = map(float, self.action_low), map(float, self.action_high)
        return Spec(self.obs.shape[1], self.action.shape[1], tuple(low), tuple(high), self.history)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """[E] steps per episode."""
        return np.diff(np.append(self.starts, len(self)))

    @cached_property
    def episode_of_row(self) -> NDArray[np.int64]:
        """[N] index of the episode each row belongs to."""
        return np.repeat(np.arange(self.n_episodes), self.lengths)

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """[E] undiscounted return per episode."""
        return np.add.reduceat(self.reward.astype(np.float64), self.starts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the content (not the name), so that a run can refuse another dataset's model."""
        digest = hashlib.sha256()
        for array in (self.obs, self.action, self.reward, self.next_obs, self.terminated, self.truncated):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # no copy of the bytes
        digest.update(np.concatenate([self.action_low, self.action_high]).tobytes())
        digest.update(self.starts.tobytes())
        return digest.hexdigest()
