"""The rows of all files in one form, on disk, each checked and each knowing where it came from.

Columns of that form: `@file` (index), `@row` (from 1), the keys `k0..` of its episode and `t` of its order as text,
`o0..` `a0..` `r` `n0..` (numbers), `done`, `cut` (flags), and `final`: the row holds an observation only, for action
and reward are missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from orl.data.importing.columns import FILE, Columns
from orl.data.importing.leaves import Leaf, flag, key, number
from orl.data.importing.sources import ROW, Source, broken_file
from orl.errors import DataError


def write_rows(source: Source, index: int, columns: Columns, work: Path) -> tuple[Path, int]:
    """The rows of one file in the form above, as a Parquet file in `work`, and how many there are.

    Raises:
        DataError: no rows, or the first value that is missing, no number or not finite: file, row and column.
    """
    target = work / f"rows-{index:06d}.parquet"
    with broken_file(source.path, source.file, source.kind):
        table = source.scan(columns.names())
        table.select(pl.lit(index, pl.Int64).alias("@file"), ROW, *_expressions(source, index, columns)).sink_parquet(
            target
        )
    written = pl.scan_parquet(target)
    _refuse_first_fault(source, columns, written)
    count = written.select(pl.len()).collect().item()
    if not count:
        raise DataError(f"{source.path}: holds no rows")
    return target, count


def value_fault(source: Source, row: int, name: str) -> str:
    """What is wrong with the value of column `name` at `row`: a clause for a message."""
    value, leaf = source.raw(name, row), source.leaves[name]
    if isinstance(value, list) and len(value) != leaf.width:
        return f"the list has {len(value)} values, that of the first row {leaf.width}"
    if leaf.parent is not None and isinstance(value, list):
        value = next((item for item in value if not _is_number(item)), value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return "the value is missing"
    if _is_number(value):
        return f"{value} is not finite as a 32-bit float"
    return f"{value!r} is not a number" if isinstance(value, str) else f"{value} is not a number"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _expressions(source: Source, index: int, columns: Columns) -> list[pl.Expr]:
    leaves = source.leaves

    def numbers(names: tuple[str, ...], letter: str) -> list[pl.Expr]:
        return [number(leaves[name]).cast(pl.Float32).alias(f"{letter}{i}") for i, name in enumerate(names)]

    final = pl.lit(False)
    if not columns.next_obs:
        final = pl.all_horizontal(_missing(leaves[name]) for name in (*columns.action, columns.reward))
    flags = []
    for role, name in (("done", columns.terminated), ("cut", columns.truncated)):
        value = flag(leaves[name]) if name else pl.lit(False)
        flags.append(pl.when(final).then(value.fill_null(False)).otherwise(value).alias(role))
    episode = [
        (pl.lit(str(index)) if name == FILE else key(leaves[name])).alias(f"k{i}")
        for i, name in enumerate(columns.episode)
    ]
    return [
        *episode,
        *([key(leaves[columns.order]).alias("t")] if columns.order else []),
        *numbers(columns.obs, "o"),
        *numbers(columns.action, "a"),
        number(leaves[columns.reward]).alias("r"),
        *numbers(columns.next_obs, "n"),
        *flags,
        final.alias("final"),
    ]


def _missing(leaf: Leaf) -> pl.Expr:
    absent = leaf.expr.is_null()
    if leaf.dtype == pl.String:
        absent = absent | (leaf.expr.str.strip_chars() == "")
    return absent | number(leaf).is_nan().fill_null(False)


def _refuse_first_fault(source: Source, columns: Columns, written: pl.LazyFrame) -> None:
    faults = _faults(columns)
    bad = pl.any_horizontal(*(fault for fault, _, _ in faults))
    count = written.select(bad.sum()).collect().item()
    if not count:
        return
    row = written.filter(bad).head(1).collect()
    name, is_flag = next((name, is_flag) for fault, name, is_flag in faults if row.select(fault).item())
    number_of_row = int(row[ROW][0])
    clause = value_fault(source, number_of_row, name)
    if is_flag and "missing" not in clause:
        clause = f"{source.raw(name, number_of_row)!r} is neither true/false nor 1/0"
    raise DataError(
        f"{source.place(number_of_row)}, column '{name}': {clause} ({count} such rows); repair or remove those rows"
    )


def _faults(columns: Columns) -> list[tuple[pl.Expr, str, bool]]:
    """(whether a row is at fault, in which column, whether that is a flag)."""
    found: list[tuple[pl.Expr, str, bool]] = []

    def add(letter: str, names: tuple[str, ...], spared: pl.Expr) -> None:
        for i, name in enumerate(names):
            value = pl.col(f"{letter}{i}")
            found.append(((value.is_null() | ~value.is_finite()).fill_null(True) & ~spared, name, False))

    for i, name in enumerate(columns.episode):
        found.append((pl.col(f"k{i}").is_null(), name, False))
    if columns.order:
        found.append((pl.col("t").is_null(), columns.order, False))
    add("o", columns.obs, pl.lit(False))
    add("a", columns.action, pl.col("final"))
    reward = pl.col("r").cast(pl.Float32)
    found.append(((reward.is_null() | ~reward.is_finite()) & ~pl.col("final"), columns.reward, False))
    add("n", columns.next_obs, pl.lit(False))
    for role, flag_name in (("done", columns.terminated), ("cut", columns.truncated)):
        if flag_name:
            found.append((pl.col(role).is_null(), flag_name, True))
    return found
