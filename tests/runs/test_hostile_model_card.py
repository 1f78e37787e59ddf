"""Names from a run or a log are text in a model card: neither mark-up nor control sequences nor lines of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import orl as package
from orl.runs.export.markdown import code, table


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain/name-v0", "`plain/name-v0`"),
        ("a`<script>`b", "`a'<script>'b`"),
        ("a\n\n# Verified", "`a\\n\\n# Verified`"),
        ("\x1b[2J\u202eevil", "`\\x1b[2J\\u202eevil`"),
        ("a | b", "`a ¦ b`"),
    ],
)
def test_names_stay_inside_their_code(name: str, shown: str) -> None:
    assert code(name) == shown
    assert len(table(["", ""], [["x", code(name)]]).splitlines()) == 3


def test_an_evaluation_from_elsewhere_cannot_write_into_the_card(cloned: dict[str, Any], tmp_path: Path) -> None:
    """Its environment is shown as code on one line; what are no numbers there leaves it out."""
    shutil.copytree(cloned["run"], tmp_path / "run", ignore=shutil.ignore_patterns("eval"))
    (tmp_path / "run/eval").mkdir()
    evil = {"environment": "x`\n\n## Verified by all\n", "episodes": 3, "evaluation_seed": 1}
    evil["score"] = {"per_seed": [1.0, 2.0], "normalised": True}
    (tmp_path / "run/eval/evil.json").write_text(json.dumps(evil))
    (tmp_path / "run/eval/worse.json").write_text(json.dumps(evil | {"episodes": "3\n## Verified by all"}))
    document = package.export(tmp_path / "run", format="numpy")
    assert len(document["judged"]["simulator"]) == 2  # that of the training, and one of these
    card = (tmp_path / "run/export/numpy/model-card.md").read_text()
    assert "\n## Verified" not in card
    assert "- In `x'\\n\\n## Verified by all\\n`: score 1 over 3 episodes" in card
