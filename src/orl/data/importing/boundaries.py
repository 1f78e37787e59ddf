"""Between which two consecutive rows an episode ends, and which pairs of rows cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from orl.data.episodes import Bools, Floats
from orl.data.importing.columns import Columns
from orl.data.importing.sources import ROW, Source
from orl.data.readers.flat import chain_breaks
from orl.errors import DataError

GAP = 1.5  # a step of the order so many times the usual one means that rows are missing


class Block(NamedTuple):
    """Consecutive ordered rows [R] as arrays; `episode` is the index of their key, `final` an observation alone."""

    file: NDArray[np.int64]
    row: NDArray[np.int64]
    episode: NDArray[np.int64]
    order: np.ndarray | None
    obs: Floats
    action: Floats
    reward: NDArray[np.float64]
    next_obs: Floats | None
    done: Bools
    cut: Bools
    final: Bools


def block_of(table: pl.DataFrame, columns: Columns) -> Block:
    """The rows of a batch (see ``rows`` and ``order``) as arrays."""

    def wide(letter: str, names: tuple[str, ...]) -> Floats:
        return (
            table.select(f"{letter}{i}" for i in range(len(names))).to_numpy(order="c").astype(np.float32, copy=False)
        )

    return Block(
        file=table["@file"].to_numpy(),
        row=table[ROW].to_numpy().astype(np.int64),
        episode=table["e"].to_numpy(),
        order=table["t"].to_numpy() if columns.order else None,
        obs=wide("o", columns.obs),
        action=wide("a", columns.action),
        reward=table["r"].to_numpy(),
        next_obs=wide("n", columns.next_obs) if columns.next_obs else None,
        done=table["done"].to_numpy(),
        cut=table["cut"].to_numpy(),
        final=table["final"].to_numpy(),
    )


def _flagged_ends(block: Block) -> Bools:
    """[R - 1] whether a flag ends an episode after a row: after the observation alone that follows, if there is one."""
    flagged = block.done | block.cut
    before = np.concatenate([[False], flagged[:-1]])
    return ((flagged & ~np.append(block.final[1:], False)) | (block.final & before))[:-1]


@dataclass
class Boundaries:
    """Finds the boundaries of one log, block by block. `splits` counts those made at gaps."""

    columns: Columns
    sources: list[Source]
    allow_gaps: bool
    splits: int = 0
    usual_step: float | None = None  # of the order within an episode: the median of the first block

    def between(self, block: Block) -> Bools:
        """[R - 1] whether an episode ends between a row and the next.

        Raises:
            DataError: a key twice, missing rows, an end inside an episode, or a next observation that contradicts the
                following row.
        """
        new = np.diff(block.episode) != 0
        if block.order is not None:
            self._refuse_duplicates(block, ~new & (np.diff(block.order) == 0))
        ended = _flagged_ends(block)
        if self.columns.episode:
            self._refuse_inner_end(block, ended & ~new & ~block.final[:-1])
        else:
            new = new | ended
        if block.order is not None:
            new = new | self._gaps(block, block.order, new)
        if block.next_obs is not None:
            new = new | self._contradictions(block, block.next_obs, new)
        return new

    def place(self, block: Block, index: int) -> str:
        """'log.csv: row 7 (line 8)' of a row of the block."""
        return self.sources[int(block.file[index])].place(int(block.row[index]))

    def _gaps(self, block: Block, order: np.ndarray, new: Bools) -> Bools:
        step = np.diff(order)
        if self.usual_step is None and not new.all():
            self.usual_step = float(np.median(step[~new]))
        gap = ~new & (step > GAP * (self.usual_step or np.inf))
        if gap.any() and not self.allow_gaps:
            row, name = int(np.argmax(gap)), self.columns.order or ""
            before, after = (self.sources[int(block.file[i])].raw(name, int(block.row[i])) for i in (row, row + 1))
            raise DataError(
                f"{self.place(block, row + 1)}, column '{name}': {after} follows {before} in one episode, "
                f"{step[row] / (self.usual_step or 1):g} times the usual step ({int(gap.sum())} such gaps); add the "
                "missing rows, or split the episode there with --allow-gaps"
            )
        self.splits += int(gap.sum())
        return gap

    def _contradictions(self, block: Block, next_obs: Floats, new: Bools) -> Bools:
        broken = np.zeros_like(new)
        broken[chain_breaks(block.obs, next_obs)] = True
        broken &= ~new
        if broken.any() and not self.allow_gaps:
            row, columns = int(np.argmax(broken)), self.columns
            worst = int(np.argmax(np.abs(next_obs[row] - block.obs[row + 1])))
            known = columns.episode and columns.order
            advice = "repair those rows" if known else "name --episode, --order or the columns of ends"
            raise DataError(
                f"{self.place(block, row)}, column '{columns.next_obs[worst]}': {next_obs[row, worst]:g}, but the next "
                f"row of the episode ({self.place(block, row + 1)}) has {block.obs[row + 1, worst]:g} in "
                f"'{columns.obs[worst]}' ({int(broken.sum())} such rows); {advice}, or split the episode there with "
                "--allow-gaps"
            )
        self.splits += int(broken.sum())
        return broken

    def _refuse_inner_end(self, block: Block, inner: Bools) -> None:
        if not inner.any():
            return
        row = int(np.argmax(inner))
        column = self.columns.terminated if block.done[row] else self.columns.truncated
        raise DataError(
            f"{self.place(block, row)}, column '{column}': the episode ends here, but goes on with "
            f"{self.place(block, row + 1)}; repair the flag, or leave out --episode if flags alone separate episodes"
        )

    def _refuse_duplicates(self, block: Block, twice: Bools) -> None:
        if not twice.any():
            return
        index, columns = int(np.argmax(twice)), self.columns
        keys = ", ".join(f"'{name}'" for name in (*columns.episode, columns.order))
        if not columns.episode:
            hint = "; name an --episode column, or leave out --order to keep the rows of the file as they are"
        elif block.file[index] != block.file[index + 1]:
            hint = "; if each file numbers its episodes anew, add --episode @file"
        else:
            hint = "; an episode has one row a step, so remove one of them"
        raise DataError(
            f"{self.place(block, index + 1)}, column {keys}: the same values as in {self.place(block, index)}{hint}"
        )
