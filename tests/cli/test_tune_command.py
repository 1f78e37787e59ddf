"""`orl tune` as a program: its list, its plan, its result, and errors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = """
[shared]
history = 0
model = { hidden = [8], weight_decay = [0, 0], members = 3, elites = 2, max_epochs = 2 }
agent = { hidden = [8], batch_size = 16, rollout_batch = 16, rollout_length = 2, real_ratio = 0.5 }
train = { epoch_steps = 10 }

[ope]
model_starts = 4
model_horizon = 3
fqe = { hidden = [8], members = 2, updates = 20, batch_size = 16 }

[[candidate]]
name = "clone"
algo = "bc"
steps = 30

[[candidate]]
name = "short"
algo = "mopo"
steps = 20
init = "clone"
penalty = "calibrated"
share = 0.8
"""


@pytest.fixture(scope="module")
def candidates(sandbox: Path) -> Path:
    file = sandbox / "candidates.toml"
    file.write_text(TINY)
    return file


def test_the_list_is_the_shipped_set(orl: Callable[..., Any]) -> None:
    listed = tomllib.loads(orl("tune", "--list").out)
    assert listed["candidate"][0]["name"] == "bc"
    assert listed["shared"]["history"] == "auto"
    assert listed["budget"]["min_steps"] > 0
    stated = orl("tune", "--list", "--history", 2, "--json").document
    assert stated["candidates"]["shared"]["history"] == 2
    assert stated["candidates"]["candidate"] == listed["candidate"]


def test_a_slip_in_the_file_and_a_budget_that_is_none_end_with_2(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TINY.replace("steps = 20", "stps = 20"))
    slip = orl("tune", "-d", pendulum_log, "--candidates", file, "--out", tmp_path / "tune")
    assert (slip.code, slip.out) == (2, "")
    assert slip.err == f"orl: {file}: candidate 2 (short): unknown setting stps; did you mean steps?\n"
    lazy = orl("tune", "-d", pendulum_log, "--budget", "soon", "--out", tmp_path / "tune")
    assert (lazy.code, lazy.err) == (2, "orl: --budget soon: expected a time such as 45m, 2h, 90s or 1h30m\n")
    assert not (tmp_path / "tune").exists()


def test_dry_run_measures_and_writes_nothing(
    orl: Callable[..., Any], pendulum_log: str, candidates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by a watch that always shows 30 s an epoch of 10 updates, and 2 s one of the ensemble."""
    from orl.runs import tune_plan
    from orl.runs.probe import Estimate

    monkeypatch.setattr(tune_plan, "probe_policy", lambda *arguments: Estimate(1 / 3, 30.0, None, ()))
    monkeypatch.setattr(tune_plan, "probe_ensemble", lambda *arguments: Estimate(1.0, 2.0, None, ()))
    words = ["tune", "-d", pendulum_log, "-c", candidates, "--runs", tmp_path, "--dry-run", "--budget", "1h"]
    document = orl(*words, "--json").document
    plan = document["plan"]
    assert (document["run"], plan["budget_seconds"], plan["judgement_seconds"]) == (None, 3600.0, 720.0)
    assert plan["history"] == {"value": 0, "why": "stated"}
    assert [(row["name"], row["wanted"], row["updates"]) for row in plan["candidates"]] == [
        ("clone", 30, 30),
        ("short", 20, 20),
    ]
    assert [row["seconds"] for row in plan["candidates"]] == pytest.approx([90.0, 60.0], abs=1.0)
    assert plan["model"] == {"max_epochs": 2, "seconds": 4.0}
    # 3 minutes less 36 s for the judgement and 4 s for the fit do not hold 150 s
    tight = orl(*words[:-1], "3m", "--json").document["plan"]["candidates"]
    assert [(row["updates"], row["seconds"] is None) for row in tight] == [(30, False), (None, True)]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in orl(*words[:-1], "3m").out.splitlines()]
    assert ["clone", "30 of 30"] in [row[:2] for row in rows]
    assert ["short", "left out", ""] in rows
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_stopped_after_one_candidate_and_gone_on_with_to_a_selection(
    orl: Callable[..., Any], pendulum_log: str, candidates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop after the clone; the same command ends in a selection, without a simulator, and then prints it again."""
    import gymnasium

    from orl.errors import Interrupted
    from orl.runs import tune as tuning

    def refuse(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("a simulator was made")

    def stop_after_the_clone(work: Any) -> None:
        if work.record.candidate("clone")["status"] == "finished":
            raise Interrupted("stopped; the same command goes on")

    monkeypatch.setattr(gymnasium, "make", refuse)
    monkeypatch.setattr(gymnasium, "make_vec", refuse)
    folder = tmp_path / "tune"
    words = ["tune", "-d", pendulum_log, "-c", candidates, "--budget", "2h", "--out", folder]
    with monkeypatch.context() as patch:
        patch.setattr(tuning.Tune, "stop_if_asked", stop_after_the_clone)
        stopped = orl(*words, "--quiet")
    assert (stopped.code, stopped.out) == (75, "")
    assert stopped.err == "orl: stopped; the same command goes on\n"
    assert not (folder / "candidates" / "short").exists()
    done = orl(*words, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert [(row["name"], row["status"], row["updates"]) for row in document["candidates"]] == [
        ("clone", "finished", 30),
        ("short", "finished", 20),
    ]
    assert {line["label"] for line in document["selection"]["ranking"]} == {"clone", "short", "behaviour"}
    trained = json.loads((folder / "candidates" / "short" / "run.json").read_text())
    assert trained["began_as"]["run"] == str(folder / "candidates" / "clone")
    assert trained["penalty"]["share"] == 0.8
    assert "score" not in trained["result"]  # no simulator was asked
    models = [folder / "model", folder / "candidates" / "short" / "model"]
    assert len({(model / "run.json").read_text() for model in models}) == 1
    assert set(document["seconds_by_stage"]) == {"preparation", "model", "training", "judgement"}
    whole = json.loads((folder / "selection.json").read_text())
    assert whole["selected"] == document["selection"]["selected"]
    assert whole["reason"] == document["selection"]["reason"]
    again = orl(*words)
    assert again.code == 0
    assert again.err == ""
    assert document["selection"]["reason"].split(":")[0] in " ".join(again.out.split())
    title, *lines = again.out.splitlines()
    assert title.strip() == f"{pendulum_log} · history 0 · discount 0.99"
    assert max(len(line) for line in lines if line.startswith("│")) <= 80
    assert "…" not in again.out
    other = orl("tune", "-d", pendulum_log, "-c", candidates, "--budget", "1h", "--out", folder)
    assert (other.code, "budget_seconds is 7200.0 there and 3600.0 now" in other.err) == (2, True)
