"""Ordered rows cut into episodes, and what was seen after the last action of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from orl.data.episodes import Floats
from orl.data.importing.boundaries import Block, Boundaries, block_of
from orl.data.importing.rows import value_fault
from orl.errors import DataError


class Episode(NamedTuple):
    """obs [T+1, O], action [T, A], reward [T], how its last step ended, and which row each step was."""

    obs: Floats
    action: Floats
    reward: np.ndarray
    terminated: bool
    truncated: bool
    file: np.ndarray
    row: np.ndarray


@dataclass
class Ends:
    """How episodes ended where no next observation was logged, counted while they are read."""

    dropped: int = 0  # cuts: the last row is left out, for what its action led to was never seen
    repeated: int = 0  # true ends: the own observation stands in, for no value lies beyond
    observed: int = 0  # a last row without action and reward is the observation after the last action
    empty: int = 0  # episodes of which no step remained
    at_limit: int = 0  # ends at the time limit, taken for cuts


@dataclass
class Cutter:
    """Cuts batches of ordered rows into episodes; `time_limit` is the number of steps after which one is cut."""

    boundaries: Boundaries
    time_limit: int | None
    ends: Ends

    def episodes(self, batches: Iterable[pl.DataFrame]) -> Iterator[Episode]:
        """The episodes in order; an episode may reach over several batches.

        Raises:
            DataError: what ``Boundaries.between`` refuses, an observation without action that is not the last of its
                episode, or an episode beyond the time limit.
        """
        kept: list[pl.DataFrame] = []
        for batch in batches:
            table = pl.concat([*kept, batch])
            block = block_of(table, self.boundaries.columns)
            starts = np.flatnonzero(np.concatenate([[True], self.boundaries.between(block)])).tolist()
            for first, last in pairwise(starts):
                yield from self._episode(block, first, last)
            kept = [table[starts[-1] :]]
        for rest in kept:
            yield from self._episode(block_of(rest, self.boundaries.columns), 0, rest.height)

    def _episode(self, block: Block, first: int, last: int) -> Iterator[Episode]:
        """Rows first..last-1 as an episode, or nothing if no step of it is known."""
        self._refuse_inner_final(block, first, last)
        ends_alone = bool(block.final[last - 1])
        steps = last - first - ends_alone
        flags = slice(max(last - 1 - ends_alone, first), last)
        done, cut = bool(block.done[flags].any()), bool(block.cut[flags].any())
        if self.time_limit is not None and steps >= self.time_limit:
            self._refuse_beyond_limit(block, last - 1, steps)
            self.ends.at_limit += done
            done = False
        obs = block.obs[first:last]
        if ends_alone:
            self.ends.observed += 1
        elif block.next_obs is not None:
            obs = np.concatenate([obs, block.next_obs[last - 1 : last]])
        elif done:
            obs = np.concatenate([obs, obs[-1:]])
            self.ends.repeated += 1
        else:
            steps -= 1
            self.ends.dropped += 1
        if not steps:
            self.ends.empty += 1
            return
        rows = slice(first, first + steps)
        of_rows = (block.action[rows], block.reward[rows], done, cut or not done, block.file[rows], block.row[rows])
        yield Episode(obs, *of_rows)

    def _refuse_inner_final(self, block: Block, first: int, last: int) -> None:
        if not block.final[first : last - 1].any():
            return
        index = first + int(np.argmax(block.final[first:last]))
        name = self.boundaries.columns.action[0]
        fault = value_fault(self.boundaries.sources[int(block.file[index])], int(block.row[index]), name)
        raise DataError(
            f"{self.boundaries.place(block, index)}, column '{name}': {fault}, and the episode goes on (only its last "
            "row may be an observation alone); repair or remove such rows"
        )

    def _refuse_beyond_limit(self, block: Block, index: int, steps: int) -> None:
        if steps > (self.time_limit or steps):
            columns = self.boundaries.columns
            name = columns.order or columns.terminated or columns.reward
            raise DataError(
                f"{self.boundaries.place(block, index)}, column '{name}': the episode that ends here has {steps} "
                f"steps, more than --time-limit {self.time_limit}; correct the limit, or where episodes end"
            )
