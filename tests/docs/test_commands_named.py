"""Commands and options that pages name inside their sentences exist, and the changelog knows every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT, known_commands, pages

INLINE = re.compile(r"`([^`\n]+)`")
ALL = [*pages(), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]


def named(text: str) -> list[list[str]]:
    """The words of each `orl ...` in backticks; a command's own name and what stands behind it."""
    return [found.split()[1:] for found in INLINE.findall(text) if re.match(r"orl [a-z]", found)]


def resolve(words: list[str]) -> tuple[str, ...] | None:
    """The command that words begin with; the group itself where only that is named."""
    known = known_commands()
    for length in (2, 1):
        if tuple(words[:length]) in known:
            return tuple(words[:length])
    groups = {words[:1] for words in known if len(words) > 1}
    return () if tuple(words) in groups else None


def options_of(command: tuple[str, ...]) -> set[str]:
    """The options of a command, those that switch something off included; none of a group."""
    params = known_commands()[command].params if command else []
    return {"--help"} | {name for param in params for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_in_sentences_exist(page: Path) -> None:
    wrong = []
    for words in named(page.read_text()):
        command = resolve(words)
        if command is None:
            wrong.append(" ".join(words))
        else:
            wrong += [(command, word) for word in words if word.startswith("--") and word not in options_of(command)]
    assert wrong == []


def test_the_changelog_knows_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    missing = [" ".join(words) for words in known_commands() if f"orl {' '.join(words)}" not in text]
    assert missing == []


def test_readme_and_index_lead_to_every_page() -> None:
    """A page that nothing leads to is not read."""
    linked = set()
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+?\.md)(?:#[^)]*)?\)", page.read_text()):
            linked.add((page.parent / target).resolve())
        for name in re.findall(r"^[a-z/-]+$", page.read_text(), re.MULTILINE):  # a line of a toctree
            linked.add((page.parent / f"{name}.md").resolve())
    entries = {ROOT / "README.md", ROOT / "docs" / "index.md"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages() if page not in entries | linked) == []
