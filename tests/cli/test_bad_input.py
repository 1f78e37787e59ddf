"""Bad input: one clear line, the right exit code, nothing written or lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10", "train.eval_episodes=1"]
TINY = [word for assignment in WORDS for word in ("--set", assignment)]
MOPO = [*TINY, "--set", "agent.rollout_batch=16"]
BC = ["train-policy", "-a", "bc", "--steps", 20, *TINY]


def refusal(done: Any, code: int) -> str:
    """The one line on stderr of a call that had to fail."""
    lines = [line for line in done.err.splitlines() if line.startswith("orl: ")]
    assert (done.code, done.out, len(lines), "Traceback" in done.err) == (code, "", 1, False), done.err
    return lines[0]


@pytest.mark.parametrize("command", [["fit-model"], BC])
@pytest.mark.parametrize("fault", ["nan", "lengths", "missing", "bounds", "kind", "id", "text"])
def test_bad_data_ends_with_3_and_writes_nothing(
    command: list[Any], fault: str, orl: Callable[..., Any], write_log: Callable[..., Path], pendulum_log: str,
    plain_log: Path, sandbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with np.load(plain_log) as good:
        content = dict(good)
    name, text = str(tmp_path / "log.npz"), ""
    if fault == "nan":
        content["obs"][7, 1] = np.nan
        content["next_obs"][6, 1] = np.nan
        write_log(tmp_path / "log.npz", obs=content["obs"], next_obs=content["next_obs"])
        text = "log.npz: obs column 1 is nan at row 7 (1 such values in obs)"
    elif fault == "lengths":
        write_log(tmp_path / "log.npz", reward=content["reward"][:-1])
        text = "arrays of unlike lengths"
    elif fault == "missing":
        write_log(tmp_path / "logs.npz")
        text = "(did you mean logs.npz?)"
    elif fault == "bounds":
        name, text = "tiny/pendulum-v0", "outside its bounds [-0.5, 0.5]"
        shutil.copytree(sandbox / "minari" / "tiny", tmp_path / "minari" / "tiny")
        metadata = tmp_path / "minari" / name / "data" / "metadata.json"
        stored = json.loads(metadata.read_text())
        space = json.loads(stored["action_space"]) | {"low": [-0.5], "high": [0.5]}
        metadata.write_text(json.dumps(stored | {"action_space": json.dumps(space)}))
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    elif fault == "kind":
        name, text = "log.csv", "cannot read 'log.csv'"
    elif fault == "id":
        name, text = "tiny/pendulun-v0", "(did you mean tiny/pendulum-v0"
    else:
        (tmp_path / "log.npz").write_text("not an archive")
        text = "cannot be read as an .npz of plain arrays"
    assert text in refusal(orl(*command, "-d", name, "--runs", tmp_path / "runs"), 3)
    assert not (tmp_path / "runs").exists()


def test_a_model_of_another_dataset_is_refused(
    orl: Callable[..., Any], fitted: dict[str, Any], plain_log: Path, tmp_path: Path
) -> None:
    words = ["train-policy", "-a", "mopo", "-d", plain_log, "--steps", 10, "--runs", tmp_path / "runs", *MOPO]
    line = refusal(orl(*words, "--model", fitted["run"]), 3)
    assert f"{fitted['run']} was fitted on tiny/pendulum-v0, another dataset than {plain_log}" in line
    assert not (tmp_path / "runs").exists()


def test_a_model_that_is_none_is_refused(
    orl: Callable[..., Any], cloned: dict[str, Any], fitted: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    words = ["train-policy", "-a", "mopo", "-d", pendulum_log, "--steps", 10, "--runs", tmp_path / "runs", *MOPO]
    assert "is not a run folder" in refusal(orl(*words, "--model", tmp_path), 3)
    assert "of kind policy; one of kind ensemble is needed" in refusal(orl(*words, "--model", cloned["run"]), 3)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(fitted["run"], unfinished)
    record = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    assert "is not finished" in refusal(orl(*words, "--model", unfinished), 3)
    assert not (tmp_path / "runs").exists()


def test_a_finished_run_is_lost_only_by_force(
    orl: Callable[..., Any], plain_log: Path, write_log: Callable[..., Path], tmp_path: Path
) -> None:
    """Another setting or other data in the same folder: refused, and every byte stays; --force replaces it."""
    run = tmp_path / "run"
    assert orl(*BC, "-d", plain_log, "--out", run).code == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "holds another run: agent.actor_learning_rate is 0.0003 there and 0.1 now" in refusal(
        orl(*BC, "-d", plain_log, "--out", run, "--set", "agent.actor_learning_rate=0.1"), 2
    )
    other = write_log(tmp_path / "plain.npz", reward=np.zeros(1600, np.float32))
    assert "holds another run: " in refusal(orl(*BC, "-d", other, "--out", run), 2)
    # bad data with --force: the run that is there is still the better one
    refusal(orl(*BC, "-d", tmp_path / "absent.npz", "--out", run, "--force"), 3)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    forced = orl(*BC, "-d", plain_log, "--out", run, "--force", "--set", "agent.actor_learning_rate=0.1")
    assert forced.code == 0
    assert (run / "metrics.jsonl").read_bytes() != before[run / "metrics.jsonl"]


def test_a_folder_that_is_no_run_is_not_written_into(orl: Callable[..., Any], plain_log: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for more in ([], ["--force"]):
        assert "exists and is not a run folder" in refusal(orl(*BC, "-d", plain_log, "--out", tmp_path, *more), 2)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_diverging_policy_ends_with_4_and_keeps_its_checkpoint(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path
) -> None:
    """The learning rate of a run's copy is raised beyond reason, then it goes on from its checkpoint."""
    run = tmp_path / "run"
    words = [*BC, "-d", plain_log, "--out", run, "--set", "train.checkpoint_every=1"]
    assert orl(*words).code == 0
    config, record = run / "config.toml", json.loads((run / "run.json").read_text())
    text = config.read_text().replace("steps = 20", "steps = 50")
    config.write_text(text.replace("actor_learning_rate = 0.0003", "actor_learning_rate = 1e38"))
    (run / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    kept = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    line = refusal(orl("train-policy", "--config", config, "--out", run), 4)
    assert "diverged: " in line
    assert "of seed 0 is not finite at update 2" in line
    assert f"the checkpoints in {run} are kept; lower agent.actor_learning_rate (1e+38 here)" in line
    assert {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()} == kept
    assert {int(path.name) for path in (run / "checkpoints").iterdir()} == {1, 2}
    assert json.loads((run / "run.json").read_text())["status"] == "diverged"
    assert [json.loads(row)["step"] for row in (run / "metrics.jsonl").read_text().splitlines()] == [10, 20]
    import orl as package

    assert np.isfinite(package.load_policy(run)([1.0, 0.0, 0.0])).all()


def test_evaluate_checks_every_folder_first(
    orl: Callable[..., Any], cloned: dict[str, Any], fitted: dict[str, Any], tmp_path: Path
) -> None:
    before = sorted(os.listdir(cloned["run"]))
    assert "is not a run folder" in refusal(orl("evaluate", cloned["run"], tmp_path, "--episodes", 1), 3)
    done = orl("evaluate", cloned["run"], fitted["run"], "--episodes", 1)
    assert "of kind ensemble; one of kind policy is needed" in refusal(done, 3)
    assert "evaluating" not in done.err
    assert sorted(os.listdir(cloned["run"])) == before


def test_environments_that_do_not_fit(orl: Callable[..., Any], cloned: dict[str, Any]) -> None:
    words = ["evaluate", cloned["run"], "--episodes", 1, "--no-bc", "--env"]
    assert "Gymnasium knows no environment 'Pendulun-v1'; did you mean Pendulum-v1" in refusal(
        orl(*words, "Pendulun-v1"), 2
    )
    line = refusal(orl(*words, "MountainCarContinuous-v0"), 3)
    assert "has observations [2] and actions [1], but the policy was trained on [3] and [1]" in line
