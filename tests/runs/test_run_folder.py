"""The run folder: what is in it, who may go on in it, what is refused and left untouched."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orl.config import read_toml
from orl.errors import DataError, UsageError
from orl.runs.directory import check_folder, find_runs, load_run, open_run, slug, write_json


@dataclass(frozen=True)
class Settings:
    """Two settings are enough."""

    steps: int = 3
    name: str = "x"


def opened(path: Path, settings: Settings = Settings(), fingerprint: str = "f", **options: Any) -> Any:
    return open_run(path, "policy", settings, {"fingerprint": fingerprint}, {"seeds": [0]}, **options)


def test_a_run_holds_settings_record_metrics_and_checkpoints(mopo: dict[str, Any], root: Path) -> None:
    run = Path(mopo["run"])
    assert run.parent == root / "tiny-pendulum-v0"
    assert re.fullmatch("mopo-s0-[0-9a-f]{8}", run.name)  # with a digest: these settings are not the presets'
    assert sorted({*os.listdir(run)} - {"eval"}) == [
        "checkpoints", "config.toml", "metrics.jsonl", "model", "run.json", "timings.jsonl"
    ]  # fmt: skip
    assert os.listdir(run / "checkpoints") == ["3"]
    settings = read_toml(run / "config.toml")
    assert settings["train"]["steps"] == 30
    assert settings["agent"]["rollout_batch"] == 16
    record = json.loads((run / "run.json").read_text())
    assert (record["schema"], record["kind"], record["status"], record["seeds"]) == (1, "policy", "finished", [0])
    assert "state" not in os.listdir(run / "model" / "checkpoints" / "2")  # the copied model is for use, not to go on
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert not [key for row in rows for key in row if "second" in key or "time" in key]
    times = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    assert [set(row) for row in times] == [{"step", "seconds"}] * 3


def test_rewind_drops_what_comes_after_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    for step in (10, 20, 30):
        run.append("metrics.jsonl", {"step": step, "loss": float("nan") if step == 10 else 0.5})
        run.append("timings.jsonl", {"step": step, "seconds": 1.0})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert [row["step"] for row in run.rows("metrics.jsonl")] == [10, 20, 30]
    run.rewind(20)
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 10, "loss": null}\n{"step": 20, "loss": 0.5}\n'
    assert [row["step"] for row in run.rows("timings.jsonl")] == [10, 20]


def test_the_same_run_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    opened(path).update(status="interrupted", mark=7)
    again = opened(path)
    assert (again.record["mark"], again.record["status"]) == (7, "running")
    before = {file: (path / file).read_bytes() for file in os.listdir(path)}
    with pytest.raises(UsageError, match=r"steps is 3 there and 4 now"):
        opened(path, Settings(steps=4))
    with pytest.raises(UsageError, match=r"fingerprint is 'f' there and 'g' now"):
        opened(path, fingerprint="g")
    with pytest.raises(UsageError, match=r"kind is 'policy' there and 'ensemble' now"):
        open_run(path, "ensemble", Settings(), {"fingerprint": "f"}, {})
    assert {file: (path / file).read_bytes() for file in os.listdir(path)} == before


def test_other_data_are_described_not_only_numbered(tmp_path: Path) -> None:
    data = {"name": "plant/pump-v0", "steps": 8000, "episodes": 40, "obs_dim": 3, "action_dim": 1}
    opened(tmp_path).update(dataset=data)
    with pytest.raises(UsageError, match=r"plant/pump-v0 with 8,000 steps in 40 episodes, 3 observed and 1 acted on"):
        opened(tmp_path, fingerprint="g")


def test_a_finished_run_stays_finished_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "run"
    opened(path).update(status="finished")
    (path / "left over").write_text("")
    assert opened(path).finished
    assert not opened(path, Settings(steps=4), force=True).finished
    assert not (path / "left over").exists()
    assert read_toml(path / "config.toml") == {"steps": 4, "name": "x"}


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    """Even with force: only runs are ever deleted."""
    (tmp_path / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(UsageError, match="is not a run folder"):
            opened(tmp_path, force=force)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(UsageError, match="is not a run folder"):
        opened(tmp_path / "thesis.tex")


def test_a_start_that_was_killed_before_its_record_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    opened(path)
    (path / "run.json").rename(path / "run.jsonabc.tmp")
    with pytest.raises(UsageError, match="is not a run folder"):
        check_folder(path, "policy", Settings(steps=4), {})  # someone else's config.toml
    assert opened(path).record["status"] == "running"


def test_broken_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run\.json"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(DataError, match="schema 2; this version reads 1; a newer orl wrote it, so update this one"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 0}')
    with pytest.raises(DataError, match="schema 0; this version reads 1; make it again in another folder with --out"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 1, "kind": "ensemble"}')
    with pytest.raises(DataError, match="of kind ensemble; one of kind policy is needed"):
        load_run(tmp_path, "policy")


def test_a_document_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("inf")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_runs_are_found_at_both_depths_without_the_models_inside_them(tmp_path: Path) -> None:
    for path in ("data/one", "two", "data/one/model", "two/model"):
        opened(tmp_path / path) if "model" not in path else _copy_record(tmp_path / path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert [str(run.path.relative_to(tmp_path)) for run in find_runs(tmp_path)] == ["data/one", "two"]


def _copy_record(path: Path) -> None:
    path.mkdir()
    (path / "run.json").write_bytes((path.parent / "run.json").read_bytes())


def test_slugs() -> None:
    assert slug("orl/pendulum/mixed-v0") == "orl-pendulum-mixed-v0"
    assert slug("/data/my log.npz") == "my-log"
    assert slug("../..") == "dataset"


def test_a_finished_folder_is_not_trained_again(orl: Callable[..., Any], mopo: dict[str, Any], root: Path) -> None:
    run = Path(mopo["run"])
    before = {file: (run / file).read_bytes() for file in ("run.json", "metrics.jsonl", "timings.jsonl")}
    words = ["--config", run / "config.toml", "--runs", root, "--json"]
    again = orl("train-policy", *words).document
    for key in ("algorithm", "seconds", "updates_per_second", "score"):
        assert again[key] == mopo[key]
    assert {file: (run / file).read_bytes() for file in before} == before


def test_a_run_goes_on_with_the_model_in_its_own_folder(
    orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path
) -> None:
    """The runs folder given here holds no model: none may be fitted just to say what is already known."""
    run = Path(mopo["run"])
    words = ["--config", run / "config.toml", "--out", run, "--runs", tmp_path, "--json"]
    done = orl("train-policy", *words)
    assert (done.code, done.document["seconds"]) == (0, mopo["seconds"])
    assert "fitting" not in done.err
    assert os.listdir(tmp_path) == []


def test_another_run_is_refused_before_a_model_is_fitted_for_it(
    orl: Callable[..., Any], cloned: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    run = Path(cloned["run"])
    done = orl("train-policy", "-a", "mopo", "-d", pendulum_log, "--out", run, "--runs", tmp_path)
    assert done.code == 2
    assert done.err == (
        f"orl: {run} holds another run: algorithm is 'bc' there and 'mopo' now;"
        " choose another folder with --out, or replace it with --force\n"
    )
    assert os.listdir(tmp_path) == []


def test_epochs_of_a_run_compile_once(
    orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What an epoch returns lies on the device as what it was given did; else the second one would compile anew."""
    import jax

    words = ["--config", Path(mopo["run"]) / "config.toml", "--model", Path(mopo["run"]) / "model", "--out", tmp_path]
    with jax.log_compiles(), caplog.at_level("WARNING"):
        done = orl("train-policy", *words)
    assert done.code == 0
    assert sum("Finished XLA compilation of jit(epoch_of_one_seed)" in text for text in caplog.messages) == 1
