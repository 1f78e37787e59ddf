"""The single numbers of a table as named columns: fields and elements of nested ones by dotted names."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from orl.errors import DataError


class Leaf(NamedTuple):
    """One number (or flag, or key) of a row.

    Attributes:
        expr: how to get it from a row of the table.
        dtype: its type there.
        parent, width: for an element of a list, the list and how many elements it must have in every row.
    """

    expr: pl.Expr
    dtype: Any
    parent: pl.Expr | None = None
    width: int = 0


def leaves_of(table: pl.LazyFrame, where: str) -> dict[str, Leaf]:
    """The leaves of a table by name: `state.x` is field `x` of struct `state`, `obs.0` the first element of list `obs`.

    A list has as many leaves as its first row has elements.

    Raises:
        DataError: two leaves of one name.
    """
    schema = table.collect_schema()
    first = table.head(1).collect()
    found: dict[str, Leaf] = {}
    for column, dtype in schema.items():
        for name, leaf in _descend(column, pl.col(column), dtype, first):
            if name in found:
                raise DataError(f"{where}: two columns are called '{name}' (one by its path); rename one of them")
            found[name] = leaf
    return found


def _descend(name: str, expr: pl.Expr, dtype: Any, first: pl.DataFrame) -> list[tuple[str, Leaf]]:
    if isinstance(dtype, pl.Struct):
        parts = [(f"{name}.{field.name}", expr.struct.field(field.name), field.dtype) for field in dtype.fields]
        return [leaf for part in parts for leaf in _descend(*part, first)]
    if isinstance(dtype, pl.Array):
        expr, dtype = expr.arr.to_list(), pl.List(dtype.inner)
    if not isinstance(dtype, pl.List):
        return [(name, Leaf(expr, dtype))]
    width = int(first.select(expr.list.len()).item() or 0) if first.height else 0
    found = []
    for index in range(width):
        # a list of another length has no elements at all, so that none is read as another one
        element = pl.when(expr.list.len() == width).then(expr.list.get(index, null_on_oob=True))
        for part, leaf in _descend(f"{name}.{index}", element, dtype.inner, first):
            found.append((part, leaf._replace(parent=expr, width=width)))
    return found


def as_text(schema: Any) -> dict[str, Any]:
    """`schema` with text in place of every leaf, so that parsing never fails on a value and never rounds one."""

    def text(dtype: Any) -> Any:
        if isinstance(dtype, pl.Struct):
            return pl.Struct({field.name: text(field.dtype) for field in dtype.fields})
        return pl.List(text(dtype.inner)) if isinstance(dtype, pl.List) else pl.String

    return {name: text(dtype) for name, dtype in schema.items()}


def number(leaf: Leaf) -> pl.Expr:
    """The leaf as a 64-bit float; null where it is missing or no number."""
    text = leaf.dtype == pl.String
    return (leaf.expr.str.strip_chars() if text else leaf.expr).cast(pl.Float64, strict=False)


def flag(leaf: Leaf) -> pl.Expr:
    """The leaf as a boolean: true/false, yes/no, t/f, y/n in any case, or 1/0; null for anything else."""
    if leaf.dtype == pl.Boolean:
        return leaf.expr
    value = number(leaf)
    by_number = pl.when(value == 1).then(True).when(value == 0).then(False)
    if leaf.dtype != pl.String:
        return by_number
    word = leaf.expr.str.strip_chars().str.to_lowercase()
    return (
        pl.when(word.is_in(["true", "yes", "t", "y"]))
        .then(True)
        .when(word.is_in(["false", "no", "f", "n"]))
        .then(False)
        .otherwise(by_number)
    )


def key(leaf: Leaf) -> pl.Expr:
    """The leaf as text, for keys of several files may be written in several ways; null where it is missing."""
    if isinstance(leaf.dtype, pl.Datetime | pl.Date):
        return leaf.expr.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.String)
    if leaf.dtype.is_float():
        whole = leaf.expr.cast(pl.Int64, strict=False)
        text = pl.when(whole == leaf.expr).then(whole.cast(pl.String)).otherwise(leaf.expr.cast(pl.String))
        return pl.when(leaf.expr.is_finite()).then(text)
    text = leaf.expr.cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)
