"""What the pages print at full size fits together: the tests run their commands with networks of one small size."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_settings import option
from snippets import ROOT, blocks, commands, pages

from orl.runs.config import resolve_policy
from orl.runs.train_policy import default_policy_path
from orl_cli.common import overrides

EXAMPLES = ROOT / "docs" / "examples"


def trainings(page: Path) -> Iterator[list[str]]:
    """The words of the `orl train-policy` commands of a page, in order."""
    for block in blocks(page.read_text()):
        if block.kind == "console":
            for command in commands("\n".join(filter(None, (block.before, block.text)))):
                if command.startswith("orl train-policy"):
                    yield shlex.split(command, comments=True)[1:]


def resolved(words: list[str]) -> Any:
    """The settings of a training as printed."""
    sets = [words[n + 1] for n, word in enumerate(words[:-1]) if word in ("--set", "-S")]
    file = option(words, ("--config",), "")
    dataset, algorithm = (option(words, names, "") for names in (("--dataset", "-d"), ("--algo", "-a")))
    return resolve_policy(
        dataset or "orl/pendulum/mixed-v0", algorithm or "mopo", overrides(EXAMPLES / file if file else None, sets)
    )[0]


BEGINNINGS = [(page, words) for page in pages() for words in trainings(page) if "--init" in words]


def test_some_page_shows_how_to_begin_at_a_clone() -> None:
    assert {page.name for page, _ in BEGINNINGS} >= {"README.md", "tutorial.md"}


@pytest.mark.parametrize(("page", "words"), BEGINNINGS, ids=[str(page.relative_to(ROOT)) for page, _ in BEGINNINGS])
def test_what_begins_at_a_clone_has_its_sizes(page: Path, words: list[str]) -> None:
    """As `--init` demands: the same layers."""
    init = option(words, ("--init",), "")
    clones = [each for each in trainings(page) if option(each, ("--algo", "-a"), "mopo") == "bc"]
    named = [each for each in clones if option(each, ("--out",), "") == init]
    clone = resolved(named[-1]) if named else resolve_policy("orl/pendulum/mixed-v0", "bc", {})[0]
    assert named or Path(init) == default_policy_path(Path("runs"), clone)
    assert clone.agent.hidden == resolved(words).agent.hidden
