"""Bounds of the actions: as given, or from the log; and what is no continuous action."""

from __future__ import annotations

import numpy as np
import polars as pl

from orl.data.check import TOLERANCE
from orl.data.episodes import Floats
from orl.data.importing.columns import Columns
from orl.data.importing.episodes import Episode
from orl.data.importing.mapping import Mapping
from orl.data.importing.sources import Source
from orl.data.readers.flat import bounds_from_data
from orl.errors import DataError, UsageError

MANY_VALUES = 20  # one column of no more whole numbers than this is taken for a choice among so many


def action_bounds(
    rows: pl.LazyFrame, columns: Columns, mapping: Mapping, sources: list[Source]
) -> tuple[Floats, Floats]:
    """(low [A], high [A]) in the log's units: those of the mapping, else [-1, 1] if all lies inside, else the range.

    Raises:
        UsageError: bounds of a wrong number, or a low that is not below its high.
        DataError: the log's range in a dimension is a single value, or the action looks like a choice among few.
    """
    if mapping.action_low is not None and mapping.action_high is not None:
        low, high = (_spread(of, len(columns.action)) for of in (mapping.action_low, mapping.action_high))
        if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
            raise UsageError(f"--action-low {low.tolist()} must be finite and lie below --action-high {high.tolist()}")
        return low, high
    actions = rows.filter(~pl.col("final")).select(pl.col(f"a{i}") for i in range(len(columns.action)))
    _refuse_choice(actions, columns, sources)
    extremes = pl.concat([actions.min(), actions.max()]).collect().to_numpy()
    if np.isnan(extremes.astype(np.float64)).any():
        raise DataError(f"{sources[0].path}: column '{columns.action[0]}': action and reward are missing in every row")
    low, high = bounds_from_data(extremes)
    constant = np.flatnonzero(~(low < high))
    if len(constant):
        first = constant[0]
        raise DataError(
            f"{sources[0].path}: column '{columns.action[first]}' is {low[first]:g} in every row; leave an action that "
            "never varies out of --action, or give --action-low and --action-high"
        )
    return low, high


def refuse_outside(episode: Episode, low: Floats, high: Floats, columns: Columns, sources: list[Source]) -> None:
    """Refuse an action beyond its bounds `low` and `high`, [A] each, by more than rounding.

    Raises:
        DataError: naming file, row and column.
    """
    excess = np.maximum(low - episode.action, episode.action - high) / (high - low)
    if excess.max() <= TOLERANCE:
        return
    step, column = np.unravel_index(int(np.argmax(excess > TOLERANCE)), excess.shape)
    place = sources[int(episode.file[step])].place(int(episode.row[step]))
    raise DataError(
        f"{place}, column '{columns.action[column]}': {episode.action[step, column]:g} is outside the bounds "
        f"[{low[column]:g}, {high[column]:g}]; clip what was logged to "
        "what was applied, or widen --action-low and --action-high"
    )


def _spread(given: tuple[float, ...], size: int) -> Floats:
    if len(given) not in (1, size):
        raise UsageError(f"--action-low and --action-high take 1 number or {size}, one an action; got {len(given)}")
    return np.broadcast_to(np.asarray(given, np.float32), size).copy()


def _refuse_choice(actions: pl.LazyFrame, columns: Columns, sources: list[Source]) -> None:
    if len(columns.action) > 1:
        return
    value = pl.col("a0")
    whole, distinct = (
        actions.select((value == value.round()).all(), value.approx_n_unique().alias("n")).collect().row(0)
    )
    if whole and 1 < distinct <= MANY_VALUES:
        raise DataError(
            f"{sources[0].path}: column '{columns.action[0]}' holds {distinct} whole numbers only, so it looks like a "
            "choice among actions; only continuous actions are supported. If these are amounts, say so by --action-low "
            "and --action-high"
        )
