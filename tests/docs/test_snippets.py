"""Every command and every Python snippet of README and docs runs, in order, page by page, with small settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from snippets import ROOT, RUNNABLE, blocks, commands, known_commands, pages, run_block

from orl.agents import behaviour_regularised, behaviour_value
from orl.data import pendulum
from orl.evaluation.diagnosis import two_sample
from orl.runs import yardstick

SHARED = Path(os.environ.get("ORL_SHARED_DATA", ROOT.parent / "shared" / "data"))
NOT_RUN = 2  # blocks: `make demo` and `make test` in README, pip in docs/index.md
SMALL_LOG = (pendulum.Part("good", 3), pendulum.Part("random", 5, torque=0.0, noise=float("inf")))
SHORT_FITS = (
    (behaviour_value, "STEPS", 20),
    (behaviour_regularised, "CLONE_STEPS", 20),
    (two_sample, "STEPS", 20),
    (yardstick, "YARDSTICK_STEPS", 20),
)
RUNNING = [page for page in pages() if any(block.kind in RUNNABLE for block in blocks(page.read_text()))]


@pytest.fixture(scope="module")
def quick_compiles() -> Iterator[None]:
    """Compile without XLA's costly passes: what is asked here is whether commands work, not how fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def folder(tmp_path: Path, sandbox: Path, quick_compiles: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with datasets of its own, the examples' files, and the shared logs beside it."""
    work = tmp_path / "work"
    work.mkdir()
    for example in (ROOT / "docs" / "examples").glob("*.*"):
        shutil.copy(example, work)
    if SHARED.is_dir():
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "data").symlink_to(SHARED.resolve())
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setitem(pendulum.RECIPES, pendulum.MIXED, SMALL_LOG)
    for module, constant, few in SHORT_FITS:
        monkeypatch.setattr(module, constant, few)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.chdir(work)
    return work


@pytest.mark.docs
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs_as_it_stands(page: Path, folder: Path, orl: Callable[..., Any]) -> None:
    known, names, skipped, run = known_commands(), {"__name__": "page"}, [], 0
    for block in blocks(page.read_text()):
        if block.kind not in RUNNABLE or block.not_run:
            continue
        if block.needs and tuple(block.needs.split()[1:]) not in known:
            skipped.append(f"line {block.line}: there is no `{block.needs}` yet")
        elif "../shared/data" in block.text and not SHARED.is_dir():
            skipped.append(f"line {block.line}: no shared logs in {SHARED}")
        else:
            run_block(block, folder, orl, names)
            run += 1
    if skipped:
        pytest.skip(f"{run} blocks ran; {'; '.join(skipped)}")
    assert run > 0 or all(block.not_run for block in blocks(page.read_text()) if block.kind in RUNNABLE)


def test_blocks_that_are_not_run_are_few_and_say_why() -> None:
    left_out = [block for page in pages() for block in blocks(page.read_text()) if block.not_run]
    assert len(left_out) == NOT_RUN
    assert all(len(block.not_run.split()) >= 5 for block in left_out)
    assert all(block.kind in RUNNABLE for block in left_out)


def test_no_command_hides_in_a_block_that_is_not_run() -> None:
    """Neither in a fence of another kind nor in an indented block."""
    hidden = []
    for page in pages():
        text = page.read_text()
        for block in blocks(text):
            if block.kind not in RUNNABLE:
                hidden += [
                    (page.name, line) for line in commands(block.text) if line.startswith(("orl ", "$ ", "make "))
                ]
        hidden += [(page.name, line) for line in text.splitlines() if line.startswith(("    orl ", "    $ "))]
    assert hidden == []


def test_every_fence_names_its_language() -> None:
    assert [(page.name, block.line) for page in pages() for block in blocks(page.read_text()) if not block.kind] == []
