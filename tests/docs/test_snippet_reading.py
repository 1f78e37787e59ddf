"""What reads the pages for `test_snippets`: fences, comments, continued lines, and the shell's words."""

from __future__ import annotations

from pathlib import Path

from small_settings import smaller
from snippets import Block, blocks, commands, expand

PAGE = """Text.

<!-- not run: it would install things -->
```console
make demo
```

<!-- before: orl data list
orl runs list
-->
<!-- needs: orl export -->
```python
x = 1
```

<!-- not run: this belongs to nothing -->
A paragraph between.

````text
```console
inner
```
````
```console
orl a \\
    --b c   # why
# only a comment

orl d
```
"""


def test_comments_belong_to_the_fence_behind_them() -> None:
    first, second, third, fourth = blocks(PAGE)
    assert first == Block("console", 4, "make demo", not_run="it would install things")
    assert second == Block("python", 12, "x = 1", needs="orl export", before="orl data list\norl runs list")
    assert (third.kind, third.not_run, third.text) == ("text", "", "```console\ninner\n```")
    assert (fourth.kind, fourth.line, fourth.not_run) == ("console", 24, "")


def test_commands_are_joined_and_comments_left_out() -> None:
    assert commands(blocks(PAGE)[-1].text) == ["orl a --b c   # why", "orl d"]


def test_words_are_those_of_a_shell(tmp_path: Path) -> None:
    for name in ("p-1.csv", "p-2.csv"):
        (tmp_path / name).touch()
    words = expand("orl import p-*.csv --obs 's_*' runs/{a,b}-s0 \"two words\"   # a comment", tmp_path)
    assert words == ["orl", "import", "p-1.csv", "p-2.csv", "--obs", "s_*", "runs/a-s0", "runs/b-s0", "two words"]


def test_small_settings_fit_the_command() -> None:
    assert smaller(["data", "list"]) == []
    assert smaller(["train-policy", "--algo", "bc", "--dry-run"]) == []
    cloning, planned = smaller(["train-policy", "-a", "bc"]), smaller(["plan", "-p", "cem"])
    assert "agent.rollout_batch=16" not in cloning
    assert cloning[:2] == ["--steps", "20"]
    assert "agent.rollout_batch=16" in smaller(["train-policy", "--algo", "mopo"])
    assert "plan.elites=2" in planned
    assert "model.members=3" in planned
    assert "model.bins=8" in smaller(["fit-model", "--kind", "transformer"])
