"""Pages as runnable blocks: which fences are commands or Python, what their comments ask for, how they are run."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer
from small_settings import smaller

from orl_cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = ("reference", "_build")
RUNNABLE = ("console", "python")
COMMENT = re.compile(r"<!-- (not run|needs|before): (.*?) ?-->", re.DOTALL)
FENCE = re.compile(r"^(`{3,})(.*)$")


class Block(NamedTuple):
    """A fenced block and what the comment before it says.

    Attributes:
        kind: the word behind the fence. line: where it begins, from 1. text: what is in it.
        not_run: why it is not run, or "". needs: the command without which it cannot be, or "".
        before: commands that the page does not show, to be run first.
    """

    kind: str
    line: int
    text: str
    not_run: str = ""
    needs: str = ""
    before: str = ""


def pages() -> list[Path]:
    """README and every page of docs that is written by hand."""
    return [page for page in PAGES if page.relative_to(ROOT).parts[1:2] not in {(name,) for name in GENERATED}]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in order. A comment belongs to the fence that follows it at once."""
    found: list[Block] = []
    lines, index, comment = text.splitlines(), 0, {}
    while index < len(lines):
        opened = FENCE.match(lines[index])
        if opened:
            end = next(n for n in range(index + 1, len(lines)) if lines[n].startswith(opened[1]))
            kind = opened[2].strip()
            found.append(Block(kind, index + 1, "\n".join(lines[index + 1 : end]), **comment))
            index, comment = end + 1, {}
        elif lines[index].startswith("<!-- "):
            end = next(n for n in range(index, len(lines)) if "-->" in lines[n])
            said = COMMENT.match("\n".join(lines[index : end + 1]))
            comment = comment | ({said[1].replace(" ", "_"): said[2].strip()} if said else {})
            index = end + 1
        else:
            comment = {}
            index += 1
    return found


def commands(text: str) -> list[str]:
    """The commands of a console block, continued lines joined, comments and empty lines left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@functools.cache
def known_commands() -> dict[tuple[str, ...], Any]:
    """Every command of the program by its words, such as ("data", "import")."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield words, command
        for name, child in (children or {}).items():
            yield from walk(child, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


def expand(command: str, folder: Path) -> list[str]:
    """The words of a command as a shell in `folder` hands them on: globs, braces, quotes and comments."""
    shell = ["bash", "-c", f'set -f +f; words() {{ printf "%s\\0" "$@"; }}; words {command}']
    done = subprocess.run(shell, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def run_command(command: str, folder: Path, orl: Callable[..., Any]) -> None:
    """One command of a page in `folder`: `orl` in this process and with small settings, anything else by the shell.

    Raises:
        AssertionError: it did not end with 0.
    """
    if command.startswith("orl "):
        words = expand(command, folder)[1:]
        done = orl(*words, *smaller(words), *usual_folder(words, orl))
        assert done.code == 0, f"{command}\nended with {done.code}: {done.err}"
        return
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, f"{command}\nended with {done.returncode}: {done.stderr}"


def usual_folder(words: list[str], orl: Callable[..., Any]) -> list[str]:
    """`--out` with the folder that the words as printed would write to: other settings would go to another one."""
    if words[0] not in ("train-policy", "plan") or {"--out", "-o", "--obs", "--dry-run"} & set(words):
        return []
    probe = ["--no-probe"] if words[0] == "train-policy" else []
    printed, begun = list(words), ""
    if "--init" in words:  # the clone there is smaller than printed, so that the words as printed would be refused
        at = words.index("--init")
        printed, begun = words[:at] + words[at + 2 :], "-init"
    return ["--out", orl(*printed, "--dry-run", *probe, "--json").document["run"] + begun]


def run_block(block: Block, folder: Path, orl: Callable[..., Any], names: dict[str, Any]) -> None:
    """A block in `folder`, its hidden commands first; `names` is what the page's Python blocks share."""
    for command in commands(block.before):
        run_command(command, folder, orl)
    if block.kind == "python":
        exec(compile(block.text, f"line {block.line}", "exec"), names)
        return
    for command in commands(block.text):
        run_command(command, folder, orl)
