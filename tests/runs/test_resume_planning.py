"""Transformers stopped and gone on with, and plans that keep the seeds they have finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_resume import arrays
from tiny_settings import TINY_BEAM, TINY_SEQUENCE, settings

import orl as package
from orl.config import build, read_toml
from orl.errors import Interrupted
from orl.runs import epochs
from orl.runs import plan as planning
from orl.runs.config import SequenceRunConfig
from orl.runs.config_plan import plan_config


def test_a_transformer_stopped_after_every_epoch_is_the_same_to_the_bit(
    fitted_sequence: dict[str, Any], pendulum_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bins, the fitted value beyond the cuts, the windows drawn and the dropout come again as they were."""
    whole, run = Path(fitted_sequence["run"]), tmp_path / "run"
    config = build(SequenceRunConfig, read_toml(whole / "config.toml"))
    data = package.load_dataset(pendulum_log)

    @contextmanager
    def always() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    monkeypatch.setattr(epochs, "stop_requested", always)
    with pytest.raises(Interrupted, match="stopped at epoch 1; the same command goes on"):
        package.fit_sequence(data, config, run)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    document = package.fit_sequence(data, config, run)
    assert document["holdout"] == fitted_sequence["holdout"]
    ours, theirs = arrays(run), arrays(whole)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 20
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_stopped_plan_keeps_its_finished_seeds(
    fitted_sequence: dict[str, Any], pendulum_log: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 0 is played, seed 1 is stopped at its third step; the same call plays seed 1 alone."""
    tree = read_toml(Path(fitted_sequence["run"]) / "config.toml")
    plan = {"beam": 2, "horizon": 2, "context": 1, "plan_freq": 2}
    values = {"dataset": pendulum_log, "planner": "beam", "seeds": [0, 1], "model": tree["model"], "plan": plan}
    config, data = plan_config(values), package.load_dataset(pendulum_log)
    played: list[int] = []
    original = planning._play_seed

    def counted(run: Any, config: Any, seed: int, *rest: Any) -> Any:
        played.append(seed)
        return original(run, config, seed, *rest)

    @contextmanager
    def stop_in_seed_1() -> Iterator[Callable[[], bool]]:
        calls = iter(range(10_000))
        yield lambda: played[-1] == 1 and next(calls) >= 2

    monkeypatch.setattr(planning, "_play_seed", counted)
    monkeypatch.setattr(planning, "stop_requested", stop_in_seed_1)
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match="finished seeds are kept"):
        package.plan(data, config, run, root=root, episodes=2)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    kept = next((run / "eval").glob(".*-s0.json"))
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr(planning, "stop_requested", epochs.stop_requested)
    document = package.plan(data, config, run, root=root, episodes=2)
    assert kept.stat().st_mtime_ns == before
    assert document["returns"][0] == json.loads(kept.read_text())["returns"]
    assert [len(each) for each in document["returns"]] == [2, 2]
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert sorted(path.name for path in (run / "models").iterdir()) == ["s0", "s1"]


def test_an_lstm_is_fitted_and_planned_under_like_a_transformer(
    orl: Callable[..., Any], pendulum_log: str, root: Path, tmp_path: Path
) -> None:
    """`--arch lstm` is one setting away: same tokens, same planners."""
    words = ["-d", pendulum_log, "--runs", root]
    done = orl("fit-model", "-k", "transformer", "--arch", "lstm", *words, "--json", *settings(TINY_SEQUENCE))
    assert done.code == 0, done.err
    model = package.load_sequence(done.document["run"])
    assert (model.model.config.arch, "lstm" in str(type(model.model.network))) == ("lstm", True)
    once = orl("plan", *words, "--model", done.document["run"], "--obs", "1,0,0", "--json", *settings(TINY_BEAM))
    assert once.code == 0, once.err
    assert len(once.document["trajectory"]["action"]) == 2
