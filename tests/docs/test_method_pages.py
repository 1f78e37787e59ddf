"""A page for every line of ALGORITHMS and PLANNERS, a meaning for every setting, and what a table says of each."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from orl_site.settings import markdown_table, settings_of
from pydantic import Field
from snippets import ROOT, blocks, pages

from orl.algorithms import ALGORITHMS
from orl.dynamics.config import EnsembleConfig
from orl.evaluation.ope.behaviour import BehaviourConfig
from orl.evaluation.ope.fqe import FqeConfig
from orl.planning import PLANNERS
from orl.runs.config import TrainConfig
from orl.runs.ope_config import OpeConfig
from orl.sequence.config import TransformerConfig

SOURCE = re.compile(r"Source(s)?: |There is no paper|no paper")
TABLES = {"algorithm": ALGORITHMS, "planner": PLANNERS}
METHODS = [(f"{kind}s", kind, name) for kind, table in TABLES.items() for name in table]
OTHERS = [EnsembleConfig, TransformerConfig, TrainConfig, OpeConfig, FqeConfig, BehaviourConfig]
CONFIGS = [*(entry.config for entry in (*ALGORITHMS.values(), *PLANNERS.values())), *OTHERS]


@pytest.mark.parametrize(("folder", "kind", "name"), METHODS)
def test_every_method_has_a_page_with_all_its_parts(folder: str, kind: str, name: str) -> None:
    text = (ROOT / "docs" / folder / f"{name}.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## What differs from")] or name == "bc"
    assert "## Peers' known errors" in text
    assert text.count("$$") >= 2
    assert SOURCE.search(text)
    assert [block.kind for block in blocks(text)][-1] == f"{{settings}} {kind} {name}"
    index = (ROOT / "docs" / folder / "index.md").read_text()
    assert f"[`{name}`]({name}.md)" in index
    assert f"\n{name}\n" in index


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_has_a_meaning(config: type) -> None:
    found = settings_of(config)
    assert all(len(one.meaning) > 5 for one in found)
    assert len({one.name for one in found}) == len(found) > 3


@dataclass(frozen=True)
class Base:
    """Settings.

    Attributes:
        width: of the net. rate, decay: of Adam; the
            decay of weights only. mode: a word.
    """

    width: Annotated[int, Field(ge=1)] = 8
    rate: Annotated[float, Field(gt=0, lt=1)] = 3e-4
    decay: float | None = None
    mode: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Made(Base):
    """More of them.

    Attributes:
        width: told anew. many: a | b.
    """

    many: tuple[Annotated[int, Field(ge=1)], ...] = (1_000, 2)
    inner: Base = field(default_factory=Base)


def test_a_table_has_name_default_range_and_the_nearest_meaning() -> None:
    assert markdown_table(Made, "agent.") == [
        "| setting | default | meaning |",
        "|---|---|---|",
        "| `agent.width` | `8` | Told anew. *whole number ≥ 1* |",
        "| `agent.rate` | `0.0003` | Of Adam; the decay of weights only. *number > 0, < 1* |",
        "| `agent.decay` | `unset` | Of Adam; the decay of weights only. *number* |",
        '| `agent.mode` | `"a"` | A word. *"a" or "b"* |',
        r"| `agent.many` | `[1_000, 2]` | A \| b. *list of whole number ≥ 1* |",
    ]


def test_a_setting_without_a_meaning_is_an_error() -> None:
    @dataclass(frozen=True)
    class Silent:
        """Nothing."""

        width: int = 8

    with pytest.raises(ValueError, match="no docstring says what width is"):
        settings_of(Silent)


def test_a_table_of_settings_exists_for_what_pages_ask() -> None:
    kinds = TABLES | {"model": ("ensemble", "transformer")}
    found = [block.kind.split() for page in pages() for block in blocks(page.read_text())]
    asked = {tuple(words[1:]) for words in found if words[:1] == ["{settings}"]}
    assert asked == {(kind, name) for kind, names in kinds.items() for name in names} | {("training", "all")}


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {project['version']}" in lines
    assert f"license: {project['license']}" in lines
