"""Arrays and tables whose form is sound and whose content is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mutations import Rng

# (name, fault, whether nothing that needs the array may accept it)
ArrayFault = tuple[str, Callable[[Rng, np.ndarray], Any], bool]


def _poked(value: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    def poke(rng: Rng, array: np.ndarray) -> np.ndarray:
        changed = np.array(array, np.float64)
        changed.reshape(-1)[int(rng.integers(changed.size))] = value
        return changed

    return poke


ARRAY_FAULTS: tuple[ArrayFault, ...] = (
    ("NaN", _poked(np.nan), True),
    ("infinity", _poked(np.inf), True),
    ("beyond float32", _poked(1e39), True),
    ("too short", lambda rng, array: array[: int(rng.integers(len(array)))], True),
    ("too long", lambda rng, array: np.concatenate([array, array[:1]]), True),
    ("no rows", lambda rng, array: array[:0], True),
    ("no columns", lambda rng, array: array.reshape(len(array), -1)[:, :0], True),
    ("a scalar", lambda rng, array: array.reshape(-1)[0], True),
    ("an axis more", lambda rng, array: array[..., None, None], False),
    ("twelve axes", lambda rng, array: array.reshape(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 1), False),
    ("turned", lambda rng, array: array.reshape(len(array), -1).T.copy(), False),
    ("text", lambda rng, array: np.array(["left"] * len(array), "S4"), True),
    ("complex", lambda rng, array: array.astype(np.complex64), True),
    ("records", lambda rng, array: np.zeros(len(array), [("x", "f4"), ("y", "i2")]), True),
    ("negative", lambda rng, array: -1 - np.abs(array.astype(np.float64)), False),
    ("other order of bytes", lambda rng, array: array.astype(array.dtype.newbyteorder(">")), False),
    ("float16", lambda rng, array: array.astype(np.float16), False),
    ("longdouble", lambda rng, array: array.astype(np.longdouble), False),
    ("whole numbers", lambda rng, array: array.astype(np.int64), False),
    ("bytes", lambda rng, array: array.astype(np.uint8), False),
    ("one value", lambda rng, array: np.ones_like(array), False),
    ("zeros", lambda rng, array: np.zeros_like(array), False),
    ("shuffled", lambda rng, array: array[rng.permutation(len(array))], False),
    ("denormal", lambda rng, array: np.full(array.shape, 1e-42, np.float32), False),
    ("huge", lambda rng, array: np.sign(array.astype(np.float32)) * np.float32(3e38), False),
)


def with_fault(rng: Rng, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], str, bool]:
    """The arrays with one of them broken or missing; what was done; whether it can never be read as a log."""
    key = str(rng.choice(list(arrays)))
    if not rng.integers(12):
        return {name: array for name, array in arrays.items() if name != key}, f"lacks {key}", False
    name, fault, fatal = ARRAY_FAULTS[int(rng.integers(len(ARRAY_FAULTS)))]
    return arrays | {key: fault(rng, arrays[key])}, f"{key}: {name}", fatal and arrays[key].size > 0


def parquet_form(rng: Rng, table: Any) -> tuple[Any, str]:
    """The table with a column of another type, without one, or with values missing."""
    import polars as pl

    name = str(rng.choice(table.columns))
    column, rows = pl.col(name), pl.int_range(pl.len())
    nested: Any = pl.lit([1.0])
    for _ in range(30):
        nested = pl.concat_list(nested)
    changes: dict[str, Any] = {
        "missing value": pl.when(rows == int(rng.integers(32))).then(None).otherwise(column),
        "NaN": pl.when(rows == int(rng.integers(32))).then(float("nan")).otherwise(column.cast(pl.Float64)),
        "all missing": pl.lit(None),
        "text": column.cast(pl.String) + "x",
        "list": pl.concat_list(column, column),
        "nested": nested,
        "struct": pl.struct(column, column.alias("other")),
        "bytes": column.cast(pl.String).cast(pl.Binary),
        "date": pl.lit(0).cast(pl.Date),
        "duration": pl.lit(0).cast(pl.Duration("ms")),
        "time": pl.lit(0).cast(pl.Time),
        "decimal": pl.lit(1).cast(pl.Decimal(38, 10)),
        "category": column.cast(pl.String).cast(pl.Categorical),
        "small number": column.cast(pl.Int8, strict=False),
        "empty text": pl.lit(""),
        "flag": column.cast(pl.Float64) > 0,
    }
    how = str(rng.choice([*changes, "lacks", "no rows", "renamed"]))
    if how == "lacks":
        return table.drop(name), f"lacks {name}"
    if how == "no rows":
        return table.head(0), how
    if how == "renamed":
        return table.rename({name: str(rng.choice(["@row", "@file", "", "e", "part", "final", "s_0.x"]))}), how
    return table.with_columns(changes[how].alias(name)), f"{name}: {how}"
