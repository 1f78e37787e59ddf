"""Killed and started again: on CPU the outcome is that of an uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from orl.errors import Interrupted
from orl.runs import interrupt
from orl.runs import train_policy as training
from orl.runs.checkpoints import Checkpoints
from orl.runs.config import policy_config
from orl.runs.interrupt import stop_requested

TINY_MODEL = ["model.hidden=[8]", "model.weight_decay=[0,0]", "model.members=3", "model.elites=2"]
TINY_AGENT = ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10", "train.eval_episodes=2"]
TINY_ROLLOUT = ["agent.rollout_batch=16", "agent.rollout_length=2", "agent.real_ratio=0.5"]


def settings(*lists: list[str]) -> list[str]:
    return [word for assignment in chain(*lists) for word in ("--set", assignment)]


def rows(run: Path) -> list[dict[str, Any]]:
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def stopped(words: list[str], run: Path, number: int, after: int) -> int:
    """Start the program, send it the signal once `after` rows are written, and return its exit status."""
    process = subprocess.Popen([sys.executable, "-m", "orl_cli.main", *words, "--quiet"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    try:
        while len(rows(run)) < after:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.003)
        process.send_signal(number)
        return process.wait(60)
    finally:
        process.kill()
        process.communicate()


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of every item of the last checkpoint, as it lies on disk."""
    names = sorted(
        folder.name for folder in max((run / "checkpoints").iterdir(), key=_step).iterdir() if folder.is_dir()
    )
    manager = ocp.CheckpointManager((run / "checkpoints").absolute(), item_names=tuple(names))
    kinds = {name: ocp.args.StandardRestore() for name in names}
    items = manager.restore(manager.latest_step(), args=ocp.args.Composite(**kinds))
    manager.close()
    leaves = [pair for name in names for pair in jax.tree_util.tree_leaves_with_path({name: items[name]})]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _step(folder: Path) -> int:
    return int(folder.name) if folder.name.isdigit() else -1


def assert_same_outcome(run: Path, whole: Path) -> None:
    ours, theirs = arrays(run), arrays(whole)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 10
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert [row["step"] for row in rows(run)] == sorted({row["step"] for row in rows(run)})


@pytest.mark.parametrize("command", ["fit-model", "train-policy"])
def test_killed_terminated_and_resumed_equals_uninterrupted(
    command: str, orl: Callable[..., Any], plain_log: Path, fitted: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL in the first start, SIGTERM in the second, the third comes to the end."""
    if command == "fit-model":
        words = settings(TINY_MODEL, ["model.max_epochs=60", "model.patience=1000"])
    else:
        fit = ["fit-model", "-d", plain_log, "--out", tmp_path / "model", *settings(TINY_MODEL, ["model.max_epochs=2"])]
        assert orl(*fit).code == 0
        words = ["-a", "mopo", "--steps", "600", "--model", str(tmp_path / "model")]
        words += settings(TINY_AGENT, TINY_ROLLOUT)
    words = [command, "-d", str(plain_log), *words]
    run, whole = tmp_path / "run", tmp_path / "whole"

    assert stopped([*words, "--out", str(run)], run, signal.SIGKILL, 15) == -signal.SIGKILL
    assert len(rows(run)) < 60
    last = max(_step(folder) for folder in (run / "checkpoints").iterdir())
    assert last >= 10
    assert json.loads((run / "run.json").read_text())["status"] == "running"

    assert stopped([*words, "--out", str(run)], run, signal.SIGTERM, last + 12) == 75
    reached = len(rows(run))
    assert last < reached < 60
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert max(_step(folder) for folder in (run / "checkpoints").iterdir()) == reached  # nothing of it is lost

    resumed = orl(*words, "--out", run, "--json")
    assert resumed.code == 0
    assert f"going on from epoch {reached}" in resumed.err
    assert resumed.document["run"] == str(run)
    uninterrupted = orl(*words, "--out", whole, "--json").document
    assert_same_outcome(run, whole)
    assert len(rows(run)) == 60
    for key in ("holdout", "elites", "epochs", "algorithm", "steps"):
        assert resumed.document.get(key) == uninterrupted.get(key)


def test_the_best_policy_and_its_score_survive_an_interruption(
    cloned: dict[str, Any], pendulum_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluated in an environment, two seeds: stopped after every epoch, the record is that of one go."""
    from orl.config import read_toml
    from orl.data.catalog import load

    config = policy_config(read_toml(Path(cloned["run"]) / "config.toml"))
    assert config.train.checkpoint_every == 10  # so the checkpoints below are there because of the stops

    @contextmanager
    def always() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    monkeypatch.setattr(training, "stop_requested", always)
    data, run = load(pendulum_log), tmp_path / "run"
    for epoch in (1, 2):
        with pytest.raises(Interrupted, match=f"stopped after {epoch} of 3 epochs; the same command goes on"):
            training.train_policy(data, config, run)
    document = training.train_policy(data, config, run)
    assert_two_seeds(run, Path(cloned["run"]))
    assert document["best_score"] == cloned["best_score"]
    assert document["score"] == cloned["score"]


def assert_two_seeds(run: Path, whole: Path) -> None:
    ours, theirs = arrays(run), arrays(whole)
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert [(row["step"], row["seed"]) for row in rows(run)] == [(s, i) for s in (10, 20, 30) for i in (0, 1)]


def test_two_checkpoints_are_kept_and_one_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3, 3):
        checkpoints.save(step, {"state": {"x": np.full(2, step, np.float32)}})
    assert checkpoints.latest() == 3
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["2", "3"]
    assert checkpoints.restore(2, state={"x": np.zeros(2, np.float32)})["state"]["x"].tolist() == [2, 2]
    checkpoints.close()


def test_the_first_signal_asks_and_the_second_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes within a second of the first is taken for the same: `timeout` sends two."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(interrupt, "ONE_SIGNAL_SECONDS", 60.0)
    with stop_requested() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stopping()
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(interrupt, "ONE_SIGNAL_SECONDS", 0.0)
    with stop_requested():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_stops_a_part_stops_the_whole_and_the_second_signal_is_still_the_systems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupt, "ONE_SIGNAL_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGTERM)
    with stop_requested() as outer:
        with stop_requested() as inner:
            signal.raise_signal(signal.SIGTERM)
            assert (inner(), outer()) == (True, True)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGTERM) is before
        assert outer()
        with stop_requested() as later:
            assert later()
    assert signal.getsignal(signal.SIGTERM) is before
    with stop_requested() as fresh:
        assert not fresh()
