"""Transformers, plans and predictions from the command line: documents, files, tables, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tiny_settings import TINY_BEAM, TINY_SEQUENCE, settings

import orl as package
from orl.runs.fit_sequence import load_sequence

KINDS = ("obs", "action", "reward", "value")


def refused(done: Any, code: int, *texts: str) -> None:
    """One line, the right exit code, and the texts in it."""
    lines = [line for line in done.err.splitlines() if line.startswith("orl: ")]
    assert (done.code, done.out, "Traceback" in done.err) == (code, "", False), done.err
    for text in texts:
        assert text in lines[-1]


def test_a_fits_document(fitted_sequence: dict[str, Any], root: Path) -> None:
    run = Path(fitted_sequence["run"])
    assert (run.parent, run.name[:12]) == (root / "tiny-pendulum-v0", "transformer-")
    assert (fitted_sequence["kind"], fitted_sequence["epochs"]) == ("transformer", 2)
    holdout = fitted_sequence["holdout"]
    assert tuple(holdout["cross_entropy"]) == KINDS
    assert all(1.5 < value < 2.2 for value in holdout["cross_entropy_of_frequencies"].values())  # of ln 8 = 2.08
    assert holdout["cross_entropy"]["reward"] < holdout["cross_entropy_of_frequencies"]["reward"] + 0.3
    assert holdout["rows"] % 200 == 0
    assert len(holdout["bins"]) == 6
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    for kind in KINDS:
        assert rows[-1][f"holdout_{kind}"] == pytest.approx(holdout["cross_entropy"][kind], rel=1e-4)
    assert load_sequence(run).model.config.bins == 8


def test_a_plans_document(planned: dict[str, Any], fitted_sequence: dict[str, Any], cloned: dict[str, Any]) -> None:
    """`evaluate`'s document, with the planner's name and its milliseconds; bc beside."""
    assert (planned["kind"], planned["planner"], planned["algorithm"]) == ("evaluation", "beam", "beam")
    assert np.shape(planned["returns"]) == (1, 2)
    assert planned["lengths"] == [[200, 200]]
    assert planned["score"]["normalised"] is True
    assert planned["bc"]["run"] == cloned["run"]
    ms = planned["ms_per_action"]
    assert 0 < ms["median"] <= ms["p95"]
    run = Path(planned["run"])
    (written,) = (path for path in (run / "eval").glob("[!.]*.json"))
    assert json.loads(written.read_text())["returns"] == planned["returns"]
    (plans,) = (run / "plans").iterdir()
    lines = [json.loads(line) for line in plans.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(0, 200, 2))  # every other step
    assert np.shape(lines[0]["action"]) == (2, 2, 1)
    assert np.abs([line["action"] for line in lines]).max() <= 2.0


def test_the_run_folder_alone_acts_as_the_plan_did(planned: dict[str, Any]) -> None:
    """`load_planner` plays episode 0 to the same return, told the rewards; and without them it goes on as well."""
    planner = package.load_planner(planned["run"])
    env = gymnasium.make("Pendulum-v1")
    starts = [env.reset(seed=seed)[0] for seed in (0, 1)]
    total, reward, obs = np.zeros(2), None, np.stack(starts)
    envs = [gymnasium.make("Pendulum-v1") for _ in starts]
    for seed, each in enumerate(envs):
        each.reset(seed=seed)
    for _ in range(200):
        action = planner(obs, reward)
        steps = [each.step(a) for each, a in zip(envs, action, strict=True)]
        obs, reward = np.stack([step[0] for step in steps]), np.asarray([step[1] for step in steps])
        total += reward
    np.testing.assert_allclose(total, planned["returns"][0], rtol=1e-4)
    planner.reset()
    for _ in range(3):
        single = planner(starts[0])
    assert single.shape == (1,)
    assert np.abs(single).max() <= 2.0


def test_the_same_command_again_plays_nothing_again(
    orl: Callable[..., Any], planned: dict[str, Any], pendulum_log: str, root: Path
) -> None:
    words = settings(TINY_SEQUENCE, TINY_BEAM, ["plan.plan_freq=2"])
    plans = next((Path(planned["run"]) / "plans").iterdir())
    before = plans.stat().st_mtime_ns
    again = orl("plan", "-d", pendulum_log, "--episodes", 2, "--runs", root, "--json", *words)
    assert again.document["returns"] == planned["returns"]
    assert plans.stat().st_mtime_ns == before
    table = orl("plan", "-d", pendulum_log, "--episodes", 2, "--runs", root, *words)
    assert table.code == 0, table.err
    for text in ("behaviour", "bc", "beam", "ms"):
        assert text in table.out


def test_runs_list_has_a_headline_for_every_kind(
    orl: Callable[..., Any],
    planned: dict[str, Any],
    fitted_sequence: dict[str, Any],
    fitted: dict[str, Any],
    root: Path,
) -> None:
    shown = orl("runs", "list", "--runs", root)
    assert shown.code == 0, shown.err
    assert f"nats/obs {fitted_sequence['holdout']['cross_entropy']['obs']:.3f}" in shown.out
    assert f"score {planned['score']['mean']:.1f}" in shown.out
    assert f"rmse/pers. {fitted['holdout']['rmse_over_persistence']:.3f}" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


@pytest.mark.parametrize("planner", ["mcts", "gradient", "mppi", "cem"])
def test_every_planner_plans_once_from_an_observation(
    planner: str, orl: Callable[..., Any], pendulum_log: str, root: Path, fitted_sequence: dict[str, Any],
    fitted: dict[str, Any], cloned: dict[str, Any],
) -> None:  # fmt: skip
    """Needs no environment and leaves no run behind."""
    small = {
        "mcts": [*TINY_SEQUENCE, "plan.simulations=4", "plan.actions=2", "plan.horizon=2", "plan.context=1"],
        "gradient": [*TINY_SEQUENCE, "plan.iterations=1", "plan.beam=2", "plan.horizon=2", "plan.context=1"],
        "mppi": ["plan.samples=8", "plan.horizon=2"],
        "cem": ["plan.samples=8", "plan.elites=2", "plan.horizon=2"],
    }[planner]
    model = fitted_sequence if planner in ("mcts", "gradient") else fitted
    before = sorted(root.rglob("run.json"))
    words = ["--obs", "1.0,0.0,0.5", "--model", model["run"], "--runs", root, *settings(small)]
    done = orl("plan", "-p", planner, "-d", pendulum_log, "--json", *words)
    assert done.code == 0, done.err
    document = done.document
    assert (document["planner"], document["obs"]) == (planner, [1.0, 0.0, 0.5])
    trajectory = document["trajectory"]
    assert np.shape(trajectory["obs"]) == (2, 3)
    assert np.shape(trajectory["action"]) == (2, 1)
    np.testing.assert_allclose(trajectory["obs"][0], [1.0, 0.0, 0.5], rtol=1e-5)  # mppi weighs in float32
    np.testing.assert_allclose(document["action"], trajectory["action"][0], rtol=1e-5)
    assert np.abs(trajectory["action"]).max() <= 2.0
    assert sorted(root.rglob("run.json")) == before


def test_a_prediction(
    orl: Callable[..., Any], fitted_sequence: dict[str, Any], fitted: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    """Both models side by side from one run's name; pictures, numbers and a table."""
    words = ["--steps", 12, "--starts", 3, "--draws", 2, "--runs", root, "--out", tmp_path]
    done = orl("predict", fitted_sequence["run"], *words, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert document["run"] == [fitted_sequence["run"], fitted["run"]]
    assert (document["steps"], document["starts"], document["draws"]) == (12, 3, 2)
    assert {name: len(each) for name, each in document["error"].items()} == {"transformer": 12, "ensemble": 12}
    assert document["persistence"][0] < document["persistence"][-1]
    for name in ("prediction.png", "error.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    stored = json.loads((tmp_path / "prediction.json").read_text())
    assert stored["error"] == document["error"]
    shown = orl("predict", fitted_sequence["run"], *words, "--actions", "sampled")
    for text in ("transformer", "ensemble", "no change", "sampled"):
        assert text in shown.out


def test_what_is_refused(
    orl: Callable[..., Any], fitted: dict[str, Any], fitted_sequence: dict[str, Any], cloned: dict[str, Any],
    pendulum_log: str, plain_log: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """A model of another kind or of other data, a past that does not fit, an unknown planner, an odd observation."""
    tiny, plan = settings(TINY_SEQUENCE), ["plan", "-d", pendulum_log, "--runs", tmp_path]
    refused(orl(*plan, "-p", "beem"), 2, "unknown planner 'beem'", "did you mean beam?")
    refused(orl(*plan, "--model", fitted["run"], "--obs", "0,0,0"), 3, "kind ensemble; one of kind transformer")
    refused(orl(*plan, "-p", "cem", "--model", fitted_sequence["run"], "--obs", "0,0,0"), 3, "one of kind ensemble")
    sequence = ["--model", fitted_sequence["run"]]
    refused(orl(*plan, *sequence, "--obs", "0,0"), 2, "--obs 0,0: the model takes 3 finite numbers, got 2")
    refused(orl(*plan, *sequence, "--obs", "a,b,c"), 2, "expected numbers between commas")
    refused(orl(*plan, *sequence, "--context", 3, "--obs", "0,0,0"), 2, "plan.context is 3", "window is 3")
    refused(orl(*plan, "--horizon", 2, "--plan-freq", 3), 2, "plan_freq is 3, more than the 2 steps")
    elsewhere = ["plan", "-d", plain_log, "--env", "Pendulum-v1", "--runs", tmp_path]
    refused(orl(*elsewhere, *sequence), 3, "another dataset than")
    refused(orl("predict", cloned["run"], "--runs", tmp_path), 3, "holds a policy, not a fitted model")
    refused(orl("predict", fitted["run"], "--actions", "sampled", "--runs", tmp_path), 2, "needs a transformer")
    refused(orl("fit-model", "--arch", "lstm"), 2, "--arch is for --kind transformer")
    refused(orl("fit-model", "-k", "transformer", *tiny, "--set", "model.bins=300"), 2, "model.bins")
    assert not list(tmp_path.rglob("run.json"))
