"""What every estimator of a policy's value reads and answers: logged episodes in, an estimate with its interval out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.data.returns import discounted_sums
from orl.types import Transition

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class LoggedEpisodes:
    """E whole episodes of a log, laid end to end.

    Attributes:
        rows: [N] transitions; `next_obs` of an episode's last row is the episode's own final observation.
        starts: [E] row at which each episode begins, ascending, the first 0.
        cut: [E] whether the episode was cut off (a time-out) rather than ended: something would have come after.
    """

    rows: Transition
    starts: Indices
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def lengths(self) -> Indices:
        """[E] steps of each episode."""
        return np.diff(np.append(self.starts, len(self.rows.reward)))

    @cached_property
    def last(self) -> Indices:
        """[E] each episode's last row."""
        return self.starts + self.lengths - 1

    @cached_property
    def of_row(self) -> Indices:
        """[N] the episode each row belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def reward(self) -> Floats:
        """[N] logged rewards, in double precision for the sums over them."""
        return np.asarray(self.rows.reward, np.float64)

    def completed_reward(self, discount: float, beyond: ArrayLike = 0.0) -> Floats:
        """[N] rewards; the last of a cut episode also carries discount * `beyond` [E], what would have followed.

        Estimators that bootstrap at time-outs and sums of logged rewards are on one scale only after this.
        """
        reward = self.reward.copy()
        reward[self.last] += discount * np.where(self.cut, beyond, 0.0)
        return reward

    def returns(self, discount: float, beyond: ArrayLike = 0.0) -> Floats:
        """[E] the behaviour's discounted return from each first observation, cut episodes completed by `beyond` [E]."""
        return self.returns_to_go(discount, beyond)[self.starts]

    def returns_to_go(self, discount: float, beyond: ArrayLike = 0.0) -> Floats:
        """[N] the behaviour's discounted return from each row on, cut episodes completed by `beyond` [E]."""
        return discounted_sums(self.completed_reward(discount, beyond), self.last[self.of_row], discount)

    def by_step(self, values: NDArray) -> NDArray:
        """[..., E, T] values [..., N] by episode and step, T the longest episode; 0 behind an episode's end."""
        step = np.arange(int(self.lengths.max()))
        laid = values[..., np.minimum(self.starts[:, None] + step, self.last[:, None])]
        return np.where(step < self.lengths[:, None], laid, 0.0)


def logged_episodes(rows: Transition, starts: Indices) -> LoggedEpisodes:
    """The episodes that begin at `starts` [N]; cut are those whose last row is not a true end."""
    last = np.append(starts[1:], len(rows.reward)) - 1
    return LoggedEpisodes(rows, np.asarray(starts, np.int64), np.asarray(rows.terminated)[last] < 0.5)


@dataclass(frozen=True)
class Estimate:
    """A policy's value by one method: the discounted return from the logged first observations, averaged over episodes.

    Attributes:
        method: its name. value: the estimate. low, high: ends of its interval, -inf and inf where nothing bounds it.
        least: what it is at least, to the same level: one-sided, so above `low`. Who asks whether one policy is better
            than another asks about one side.
        detail: further numbers of the method, such as an effective sample size.
        draws: [R] the draws behind the interval, None where there are none.
    """

    method: str
    value: float
    low: float
    high: float
    detail: dict[str, float] = field(default_factory=dict)
    least: float = -np.inf
    draws: Floats | None = field(default=None, repr=False, compare=False)
