"""The policies in experiments/results: they load without their log, and are the ones that their selections name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import orl
from orl.runs.directory import load_run

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
SELECTIONS = sorted(RESULTS.glob("*/*/selection.json"))


def test_there_are_results() -> None:
    assert len(SELECTIONS) >= 2


@pytest.mark.parametrize("file", SELECTIONS, ids=[file.parent.name for file in SELECTIONS])
def test_a_kept_policy_is_the_selected_one_and_acts(file: Path) -> None:
    selected = json.loads(file.read_text())["selected"]
    folder = file.parent / "policy"
    assert folder.exists() == (selected is not None)
    if selected is None:
        return
    record = load_run(folder).record
    assert (record["result"]["algorithm"], record["seeds"]) == (selected["label"].split("-")[0], [selected["seed"]])
    dataset = record["dataset"]
    obs = np.random.default_rng(0).normal(size=(20, dataset["obs_dim"])).astype(np.float32)
    action = np.stack([orl.load_policy(folder)(row) for row in obs])
    low, high = np.array(dataset["action_low"]), np.array(dataset["action_high"])
    assert ((action >= low) & (action <= high)).all()
    assert (action.std(axis=0) > 0.01 * (high - low)).all()


@pytest.mark.parametrize("file", SELECTIONS, ids=[file.parent.name for file in SELECTIONS])
def test_the_script_that_keeps_them_finds_the_selected_run(file: Path) -> None:
    """Its own line of Python, on what `orl tune --json` prints; nothing where the behaviour is to be kept."""
    script = (RESULTS.parent / "neorl2.sh").read_text()
    (line,) = re.findall(r"python3 -c \\\n\s*'(.+?)'\)", script)
    document = file.with_name("tune.json").read_text()
    done = subprocess.run([sys.executable, "-c", line], input=document, capture_output=True, text=True, check=True)
    selected = json.loads(file.read_text())["selected"]
    assert done.stdout == (selected["run"] if selected else "") + "\n"
