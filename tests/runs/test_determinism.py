"""Same seed, same machine: the same bytes, in another process and with its own order of hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, TINY_SEQUENCE, settings

from orl.errors import UsageError

TIMES = ("seconds", "updates_per_second", "run")  # of a document, clock times and where it lies


def in_a_process(words: list[str], **environment: str) -> dict[str, Any]:
    """The document of a call of `orl` in a process of its own."""
    command = [sys.executable, "-m", "orl_cli.main", *words, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def arrays(run: Path) -> dict[str, bytes]:
    """Every array of every checkpoint of a run."""
    found = {}
    for step in sorted(folder for folder in (run / "checkpoints").iterdir() if folder.name.isdigit()):
        names = [folder.name for folder in step.iterdir() if folder.is_dir()]
        kinds = {name: ocp.args.StandardRestore() for name in names}
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
            items = orbax.restore(step.absolute(), args=ocp.args.Composite(**kinds))
        for path, leaf in jax.tree_util.tree_leaves_with_path({name: items[name] for name in names}):
            found[step.name + jax.tree_util.keystr(path)] = np.asarray(leaf).tobytes()
    return found


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in TIMES}


@pytest.mark.slow
def test_a_policy_and_its_model_are_the_same_bytes(pendulum_log: str, tmp_path: Path) -> None:
    """Both in processes of their own; with --deterministic in one of the two: on a CPU that changes nothing."""
    words = ["train-policy", "-a", "mopo", "-d", pendulum_log, "--steps", "30"]
    words += settings(TINY_MODEL, TINY_AGENT, TINY_ROLLOUT)
    first = in_a_process([*words, "--runs", str(tmp_path / "7"), "--deterministic"], PYTHONHASHSEED="7")
    second = in_a_process([*words, "--runs", str(tmp_path / "8")], PYTHONHASHSEED="8")
    assert timeless(first) == timeless(second)
    for part in ("", "model"):
        ours, theirs = Path(first["run"]) / part, Path(second["run"]) / part
        assert arrays(ours) == arrays(theirs)
        assert len(arrays(ours)) > 10
        assert (ours / "metrics.jsonl").read_bytes() == (theirs / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_a_transformer_is_the_same_bytes(pendulum_log: str, tmp_path: Path) -> None:
    """Both in processes of their own."""
    words = ["fit-model", "-k", "transformer", "-d", pendulum_log, *settings(TINY_SEQUENCE)]
    runs = [in_a_process([*words, "--runs", str(tmp_path / order)], PYTHONHASHSEED=order) for order in ("7", "8")]
    first, second = runs
    assert timeless(first) == timeless(second)
    assert arrays(Path(first["run"])) == arrays(Path(second["run"]))
    ours, theirs = (Path(each["run"]) / "metrics.jsonl" for each in runs)
    assert ours.read_bytes() == theirs.read_bytes()


def test_xla_is_told_to_be_deterministic_before_jax_is_imported() -> None:
    """And keeps the flags that were there, the later ones winning."""
    code = """
import os, sys
class Spy:
    def find_spec(self, name, *rest):
        if name == "jax":
            seen.append(os.environ["XLA_FLAGS"])
seen = []
sys.meta_path.insert(0, Spy())
from orl_cli.common import set_up_machine
set_up_machine("cpu", deterministic=True)
import jax
jax.devices()  # reads the flags, and aborts at one it does not know
print(seen[0])
"""
    environment = os.environ | {"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "--xla_gpu_deterministic_ops=false",
        "--xla_gpu_deterministic_ops=true",
        "--xla_gpu_autotune_level=0",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["fit-model"],
        ["train-policy"],
        ["plan"],
        ["evaluate", "run"],
        ["ope", "run"],
        ["select", "run"],
        ["predict", "run"],
        ["diagnose", "run"],
        ["tune"],
    ],
)
def test_every_command_that_computes_hands_the_option_on(
    words: list[str], orl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(device: str, *, deterministic: bool) -> None:
        raise UsageError(f"{device} {deterministic}")

    monkeypatch.setattr(f"orl_cli.{words[0].replace('-', '_')}.set_up_machine", noted)
    done = orl(*words, "--device", "cpu", "--deterministic")
    assert (done.code, done.err) == (2, "orl: cpu True\n")
    assert orl(*words, "--device", "cpu").err == "orl: cpu False\n"
