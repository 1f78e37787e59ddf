"""JSON from files that may be anything: one kind of error, no numbers that JSON does not have, no key twice."""

from __future__ import annotations

import json
import math
from typing import Any

SHOWN = 300  # characters of what a file or a library says, in a message


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The value that `text` holds.

    Args:
        finite: refuse NaN and infinities, also such as 1e999. Spaces, whose bounds may be infinite, are read without.

    Raises:
        ValueError: not JSON, not UTF-8, nested too deeply, a number of thousands of digits, a key twice in an object.
    """
    strict: dict[str, Any] = {"parse_constant": _refuse_word, "parse_float": _finite} if finite else {}
    try:
        text = text if isinstance(text, str) else text.decode()
        return json.loads(text, object_pairs_hook=_object, **strict)
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None


def brief(text: str) -> str:
    """The first line of `text`, not too much of it, for a message."""
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {brief(repr(twice))} comes twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{brief(digits)} is no finite number")
    return number


def _refuse_word(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")
