"""What breaks files: changes of bytes, of words and lines, and of the values in a document."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator

# put into a document, and replaced in its text by what no writer would write
DEEP, DIGITS = "@deep@", "@digits@"
DEEP_TEXT, DIGITS_TEXT = "[" * 20_000 + "]" * 20_000, "9" * 5_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**30,
    "", "nan", "x", "../..", "/etc/hostname", "\x00", "\x1b[2J\n", "\u202e", "é" * 3000, [], {}, [[]], [None], ["a", 1],
    [0] * 300, {"": {}}, {"type": "Box"}, [1e400], DEEP, DIGITS, "[bold]", "policy", "bc", "mopo",
)  # fmt: skip
CELLS = (
    "", "nan", "NaN", "inf", "-inf", "1e999", "-1e39", "null", "true", "None", "0x10", "1_0", "1,5", "--1", "'", '"',
    '"\n"', "9" * 400, "2026-01-31T12:00:00", "[1]", "{}", "\x00", "\x1b[31m", "é", "x" * 5000, "=1+1", " ", "\ufeff",
)  # fmt: skip
SIZES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def of_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """`content` with one to three faults, and their names."""
    names = []
    for _ in range(int(rng.integers(1, 4))):
        name = str(rng.choice(list(BYTE_FAULTS)))
        content = BYTE_FAULTS[name](rng, content)
        names.append(name)
    return content, " + ".join(names)


def _at(rng: Rng, content: bytes) -> int:
    """A place; half of the time near either end, where headers and directories are."""
    end = max(len(content), 1)
    return int(rng.choice([rng.integers(end), rng.integers(min(end, 96)), end - 1 - rng.integers(min(end, 200))]))


def _flip(rng: Rng, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if changed else 0):
        changed[_at(rng, content)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(rng: Rng, content: bytes) -> bytes:
    at, size = _at(rng, content), int(rng.integers(1, 64))
    fill = [bytes(size), b"\xff" * size, rng.bytes(size)][int(rng.integers(3))]
    return content[:at] + fill + content[at + size :]


def _number(rng: Rng, content: bytes) -> bytes:
    """A length or an offset that cannot be, where one may stand."""
    width = int(rng.choice([1, 2, 4, 8]))
    at = _at(rng, content) // width * width
    value = int(rng.choice(np.array(SIZES, np.uint64))) & (2 ** (8 * width) - 1)
    return content[:at] + value.to_bytes(width, "little") + content[at + width :]


def _cut_out(rng: Rng, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + content[at + int(rng.integers(1, 200)) :]


def _repeat(rng: Rng, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + content[at : at + int(rng.integers(1, 400))] * 2 + content[at:]


def _moved(rng: Rng, content: bytes) -> bytes:
    """A piece of the file written over another."""
    source, target, size = _at(rng, content), _at(rng, content), int(rng.integers(1, 128))
    piece = content[source : source + size]
    return content[:target] + piece + content[target + len(piece) :]


BYTE_FAULTS: dict[str, Callable[[Rng, bytes], bytes]] = {
    "truncated": lambda rng, content: content[: _at(rng, content)],
    "flipped": _flip,
    "overwritten": _overwrite,
    "number": _number,
    "cut out": _cut_out,
    "repeated": _repeat,
    "moved": _moved,
    "junk before": lambda rng, content: rng.bytes(int(rng.integers(1, 64))) + content,
    "junk after": lambda rng, content: content + rng.bytes(int(rng.integers(1, 600))),
}
WHOLE_FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "twice": lambda content: content * 2,
    "backwards": lambda content: content[::-1],
    "a pickle": lambda content: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "a page": lambda content: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "a pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 132\n",
}


def of_text(rng: Rng, text: str) -> tuple[bytes, str]:
    """`text` with a fault in a word, a line or its encoding."""
    name = str(rng.choice([*TEXT_FAULTS, "word", "word", "word"]))
    if name == "word":
        places = list(re.finditer(r'[^\s,:={}\[\]"]+', text))
        if not places:
            return b"", "empty"
        place = places[int(rng.integers(len(places)))]
        word = CELLS[int(rng.integers(len(CELLS)))]
        return (text[: place.start()] + word + text[place.end() :]).encode("utf-8", "replace"), f"word {word[:9]!r}"
    return TEXT_FAULTS[name](rng, text), name


def _lines(change: Callable[[Rng, list[str]], list[str]]) -> Callable[[Rng, str], bytes]:
    return lambda rng, text: "".join(change(rng, text.splitlines(keepends=True))).encode()


def _without(rng: Rng, lines: list[str]) -> list[str]:
    at = int(rng.integers(max(len(lines), 1)))
    return lines[:at] + lines[at + 1 :]


def _inserted(rng: Rng, text: str) -> bytes:
    at = int(rng.integers(len(text) + 1))
    odd = (b"\xff\xfe", b"\x80", b"\x00", b'"', b"'", b"\r", b"\n\n", b"{", b"]", b"\xed\xa0\x80", DEEP_TEXT.encode())
    return text[:at].encode() + odd[int(rng.integers(len(odd)))] + text[at:].encode()


TEXT_FAULTS: dict[str, Callable[[Rng, str], bytes]] = {
    "lacks a line": _lines(_without),
    "a line twice": _lines(lambda rng, lines: [each for line in lines for each in [line] * int(rng.integers(1, 3))]),
    "lines shuffled": _lines(lambda rng, lines: [lines[i] for i in rng.permutation(len(lines))]),
    "first line only": _lines(lambda rng, lines: lines[:1]),
    "inserted": _inserted,
    "UTF-16": lambda rng, text: text.encode("utf-16"),
    "latin-1": lambda rng, text: text.replace("e", "é").encode("latin-1", "replace"),
    "BOM": lambda rng, text: b"\xef\xbb\xbf" + text.encode(),
    "no line breaks": lambda rng, text: text.replace("\n", " ").encode(),
    "old line breaks": lambda rng, text: text.replace("\n", "\r").encode(),
}


def of_tree(rng: Rng, tree: Any) -> tuple[Any, str]:
    """A copy of plain values with one of them replaced, taken out, wrapped or renamed, and what was done."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    holder, key = places[int(rng.integers(len(places)))]
    fault = str(rng.choice(["replaced", "replaced", "replaced", "taken out", "wrapped", "renamed"]))
    if fault == "taken out":
        del holder[key]
    elif fault == "renamed" and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif fault == "wrapped":
        holder[key] = [holder[key]] if rng.integers(2) else {"value": holder[key]}
    else:
        holder[key] = VALUES[int(rng.integers(len(VALUES)))]
        fault = f"replaced by {str(holder[key])[:12]!r}"
    return tree, f"{key} {fault}"


def _places(node: Any) -> Any:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])


def written(text: str) -> str:
    """A document's text with the placeholders replaced."""
    return text.replace(f'"{DEEP}"', DEEP_TEXT).replace(f'"{DIGITS}"', DIGITS_TEXT)


def of_json(rng: Rng, document: Any) -> tuple[bytes, str]:
    """A JSON document with a fault in a value, in its text or in its bytes."""
    text = json.dumps(document, indent=1)
    kind = int(rng.integers(7))
    if kind == 0:
        return of_bytes(rng, text.encode())
    if kind == 1:
        return of_text(rng, text)
    if kind == 2 and isinstance(document, dict) and not rng.integers(3):
        key = str(rng.choice(list(document)))
        return f"{text[:-1]}, {json.dumps(key)}: {json.dumps(VALUES[int(rng.integers(14))])}}}".encode(), f"{key} twice"
    changed, how = of_tree(rng, document)
    return written(json.dumps(changed)).encode(), how
