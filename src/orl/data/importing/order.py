"""Rows in any order, in order: episode by episode, without holding more than a part of a log in memory.

A log larger than a part is first dealt out to files on disk, each with the rows of a range of episodes; the table
library then sorts one such file at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from orl.data.importing.columns import Columns
from orl.data.importing.sources import ROW, Source
from orl.errors import DataError

PART_BYTES = 2**26  # about how much of the rows is held in memory at a time; sorting and cutting make copies


def ordered_rows(rows: pl.LazyFrame, columns: Columns, sources: list[Source], work: Path) -> Iterator[pl.DataFrame]:
    """The rows in batches with `e`, the index of a row's episode, ascending, and `t` as a number, ascending in it.

    Episodes are numbered in the order of their keys: by number if all are numbers, else as text; without an episode
    column there is one for each file. Without an order column rows stay in the order of the files.

    Raises:
        DataError: an order that is neither numbers nor dates.
    """
    total = rows.select(pl.len()).collect().item()
    size = max(PART_BYTES // (4 * len(rows.collect_schema())), 1)
    if columns.order:
        rows = rows.with_columns(_order_number(rows, columns.order, sources))
    if columns.episode:
        episodes = _episode_table(rows, len(columns.episode), size)
        rows = rows.join(episodes.lazy(), on=_keys(len(columns.episode)), how="left", maintain_order="left")
        rows = rows.drop(_keys(len(columns.episode)))
    else:
        rows = rows.with_columns(pl.col("@file").alias("e"), _range_part(rows, bool(columns.order), total, size))
    by = ["e", *(["t"] if columns.order else []), "@file", ROW]
    if total <= size:
        yield rows.sort(by).collect()
    elif _is_ordered(rows, by):
        yield from rows.collect_batches(chunk_size=size, maintain_order=True)
    else:
        yield from _dealt(rows, by, work)


def _dealt(rows: pl.LazyFrame, by: list[str], work: Path) -> Iterator[pl.DataFrame]:
    """The rows dealt out to one folder a part, then sorted part by part."""
    folder = work / "parts"
    rows.sink_parquet(pl.PartitionBy(folder, key="part", include_key=True), mkdir=True)
    for part in sorted(folder.iterdir(), key=lambda path: int(path.name.removeprefix("part="))):
        yield pl.scan_parquet(part / "*.parquet", hive_partitioning=False).sort(by).collect()


def _keys(count: int) -> list[str]:
    return [f"k{index}" for index in range(count)]


def _episode_table(rows: pl.LazyFrame, keys: int, size: int) -> pl.DataFrame:
    """One row an episode: its keys, its index `e`, and the `part` of the log it belongs to."""
    names = _keys(keys)
    table = rows.group_by(names).agg(pl.len().alias("rows")).collect()
    by = []
    for name in names:
        whole, real = (table[name].cast(kind, strict=False) for kind in (pl.Int64, pl.Float64))
        by.append(
            next((column for column in (whole, real) if not column.null_count()), table[name]).alias(f"by_{name}")
        )
    table = table.with_columns(by).sort([column.name for column in by] + names)
    part = (pl.col("rows").cum_sum() - pl.col("rows")) // size
    return table.select(*names, pl.int_range(pl.len()).alias("e"), part.cast(pl.Int64).alias("part"))


def _range_part(rows: pl.LazyFrame, has_order: bool, total: int, size: int) -> pl.Expr:
    """The part of a row where files are episodes: ranges of the order, as many in each file as the log needs."""
    parts = -(-total // size)
    if not has_order:
        return (pl.col("@file") * parts).alias("part")
    low, high = rows.select(pl.col("t").min().alias("low"), pl.col("t").max().alias("high")).collect().row(0)
    share = (pl.col("t") - low) / max(high - low, 1e-300)
    return (pl.col("@file") * parts + (share * parts).floor().cast(pl.Int64).clip(0, parts - 1)).alias("part")


def _order_number(rows: pl.LazyFrame, name: str, sources: list[Source]) -> pl.Expr:
    """`t` as integers if all are, else as floats, else as dates in microseconds."""
    text = pl.col("t")
    readings = [
        text.cast(pl.Int64, strict=False),
        text.cast(pl.Float64, strict=False).fill_nan(None),
        text.str.to_datetime(strict=False, time_unit="us").cast(pl.Int64),
    ]
    wrong = rows.select(reading.null_count().alias(str(i)) for i, reading in enumerate(readings)).collect().row(0)
    if 0 in wrong:
        return readings[wrong.index(0)].alias("t")
    odd = rows.filter(readings[wrong.index(min(wrong))].is_null()).head(1).collect()
    raise DataError(
        f"{sources[odd['@file'][0]].place(odd[ROW][0])}, column '{name}': {odd['t'][0]!r} does not fit the rest; an "
        f"order is all numbers or all dates like 2026-01-31T12:00:00 ({min(wrong)} such rows)"
    )


def _is_ordered(rows: pl.LazyFrame, by: list[str]) -> bool:
    """Whether the rows already come in ascending order of the columns `by`."""
    falls, equal = pl.lit(False), pl.lit(True)
    for name in by:
        step = pl.col(name).diff()
        falls, equal = falls | (equal & (step < 0)), equal & (step == 0)
    return not rows.select(falls.fill_null(False).any()).collect().item()
