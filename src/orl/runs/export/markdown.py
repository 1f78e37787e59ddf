"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def code(text: object) -> str:
    """A name from a run or a log as Markdown code: control characters as escapes, nothing that ends the code."""
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text))
    return f"`{shown.replace('`', chr(39)).replace('|', '¦')}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """Four digits, or a dash where there is no number."""
    return "–" if value is None else f"{value:.4g}"
