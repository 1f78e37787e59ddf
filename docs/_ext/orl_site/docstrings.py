"""The docstrings of this repository read into parts, and written as reStructuredText for autodoc.

A docstring is a summary, paragraphs in Markdown's manner (`code`, ``* `` for lists, four spaces for an equation), and
sections (Attributes, Args, Returns, Raises) whose entries are `name, name: text`, several of which may share a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

SECTIONS = ("Attributes", "Args", "Returns", "Raises")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):$")
_ENTRY = re.compile(r"(?:^|(?<=[.;,] ))(\w+(?:, \w+)*): ")


class Entry(NamedTuple):
    """Names that share one meaning; no names where a section holds prose."""

    names: tuple[str, ...]
    text: str


class Docstring(NamedTuple):
    """blocks: paragraphs, as lists of lines. sections: the entries of each, by its title."""

    blocks: list[list[str]]
    sections: dict[str, list[Entry]]


def parse(text: str, names: Collection[str] | None = None) -> Docstring:
    """A cleaned docstring in parts.

    Args:
        names: what an entry may be called; without it whatever begins a line, or stands behind a full stop and ends in
            "Error", is one.
    """
    blocks: list[list[str]] = []
    sections: dict[str, list[str]] = {}
    title = None
    for line in text.expandtabs().splitlines():
        found = _SECTION.match(line)
        if found:
            title = found[1]
            sections[title] = []
        elif title is not None and (not line or line[0] == " "):
            sections[title].append(line)
        else:
            title = None
            if not line:
                blocks.append([])
            else:
                blocks = blocks or [[]]
                blocks[-1].append(line)
    entries = {title: split_entries(lines, names) for title, lines in sections.items()}
    return Docstring([block for block in blocks if block], entries)


def split_entries(lines: list[str], names: Collection[str] | None) -> list[Entry]:
    """The entries of a section; a line that is indented no deeper than the first begins one."""
    lines = [line for line in lines if line.strip()]
    if not lines:
        return []
    depth = len(lines[0]) - len(lines[0].lstrip())
    paragraphs: list[str] = []
    for line in lines:
        if len(line) - len(line.lstrip()) <= depth:
            paragraphs.append(line.strip())
        else:
            paragraphs[-1] += " " + line.strip()
    return [entry for paragraph in paragraphs for entry in _split(paragraph, names)]


def _split(paragraph: str, names: Collection[str] | None) -> list[Entry]:
    starts = [found for found in _ENTRY.finditer(paragraph) if _is_entry(found, names)]
    if not starts or starts[0].start() > 0:
        return [Entry((), paragraph)]
    ends = [found.start() for found in starts[1:]] + [len(paragraph)]
    return [
        Entry(tuple(found[1].split(", ")), paragraph[found.end() : end].strip().rstrip(";"))
        for found, end in zip(starts, ends, strict=True)
    ]


def _is_entry(found: re.Match[str], names: Collection[str] | None) -> bool:
    called = found[1].split(", ")
    if names is not None:
        return all(name in names for name in called)
    return found.start() == 0 or all(name.endswith("Error") for name in called)


def to_rst(text: str, names: Collection[str] | None = None) -> list[str]:
    """The lines of a docstring in reStructuredText."""
    parts, lines = parse(text, names), []
    for block in parts.blocks:
        lines += [*_block(block), ""]
    for title, entries in parts.sections.items():
        lines += [f"**{title}**", ""]
        for entry in entries:
            called = ", ".join(f"**{name}**" for name in entry.names)
            lines.append(f"* {called} – {inline(entry.text)}" if called else f"* {inline(entry.text)}")
        lines.append("")
    return lines


def _block(block: list[str]) -> list[str]:
    if all(line.startswith("    ") for line in block):
        return ["::", "", *block]
    lines: list[str] = []
    for line in block:
        bullet = re.match(r"[*-] ", line)
        if bullet:
            lines += ["", f"* {inline(line[2:])}"]
        elif lines and lines[-1].startswith(("* ", "  ")):
            lines.append(f"  {inline(line.strip())}")
        else:
            lines.append(inline(line.strip()))
    return [line for number, line in enumerate(lines) if line or number]


def inline(text: str) -> str:
    """One line's `code` as literals, and all that reStructuredText would take for mark-up escaped."""
    pieces = text.replace("``", "`").split("`")
    if len(pieces) % 2 == 0:  # a lone backtick, or code that goes on in the next line
        return _escaped(text.replace("`", "'"))
    return "".join(_literal(piece) if number % 2 else _escaped(piece) for number, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)


def _literal(code: str) -> str:
    return rf"\ ``{code}``\ " if code.strip() else code
