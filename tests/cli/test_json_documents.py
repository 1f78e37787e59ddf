"""The JSON contract of docs/json.md: which keys there are, and that their values belong together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl.runs.directory import versions

PACKAGES = {"python", "orl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "minari", "gymnasium"}


def assert_stamped(document: dict[str, Any], run: object) -> None:
    assert document["schema"] == 1
    assert document["run"] == run
    assert document["seconds"] is None or document["seconds"] > 0
    assert document["versions"] == versions()
    assert set(document["versions"]) == PACKAGES
    json.dumps(document, allow_nan=False)


def test_fit_model(fitted: dict[str, Any], pendulum_log: str) -> None:
    run = Path(fitted["run"])
    assert_stamped(fitted, str(run))
    assert run.parent.name == "tiny-pendulum-v0"
    assert run.name.startswith("ensemble-")
    holdout = fitted["holdout"]
    assert 0 < holdout["rmse"] < 2
    assert holdout["rmse_over_persistence"] == pytest.approx(holdout["rmse"] / holdout["persistence_rmse"])
    assert holdout["k_step"]["1"]["rmse"] == pytest.approx(holdout["rmse"], rel=1e-5)
    assert list(holdout["k_step"]) == ["1", "5", "10", "25", "50"]
    assert {len(holdout[key]) for key in ("rmse_per_dim", "persistence_per_dim")} == {3}
    assert len(set(fitted["elites"])) == 2
    assert set(fitted["elites"]) < {0, 1, 2}
    assert (fitted["epochs"], fitted["termination"], fitted["presets"]) == (2, "never", ["default/all.toml"])
    assert fitted["dataset"]["name"] == pendulum_log
    assert holdout["rows"] % 200 == 0


def test_train_policy_with_an_environment(cloned: dict[str, Any]) -> None:
    assert_stamped(cloned, cloned["run"])
    assert (cloned["algorithm"], cloned["seeds"], cloned["steps"]) == ("bc", [0, 1], 30)
    assert cloned["updates_per_second"] > 0
    score = cloned["score"]
    assert (score["episodes"], score["normalised"], len(score["per_seed"])) == (2, True, 2)
    assert score["mean"] == pytest.approx(sum(score["per_seed"]) / 2)
    best = cloned["best_score"]["per_seed"]
    assert all(high >= last - 1e-4 for high, last in zip(best, score["per_seed"], strict=True))


def test_updates_per_second_count_every_seed_and_not_the_compiling_epoch(cloned: dict[str, Any]) -> None:
    lines = (Path(cloned["run"]) / "timings.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert cloned["updates_per_second"] == pytest.approx(10 * 2 / (sum(seconds[1:]) / 2))


def test_evaluate_of_one_run(orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], root: Path) -> None:
    document = orl("evaluate", mopo["run"], "--episodes", 2, "--seed", 3, "--runs", root, "--json").document
    assert_stamped(document, mopo["run"])
    assert [len(row) for row in document["returns"]] == [2]
    assert set(document["score"]) == {"mean", "iqm", "ci95", "ci_over", "per_seed", "normalised"}
    assert set(document["best_score"]) == set(document["score"])
    assert set(document["reference"]) == {"min", "max", "source"}
    assert set(document["behaviour"]) == {"mean", "best", "score", "best_score", "episodes"}
    assert set(document["model_value"]) == {"mean_return", "score", "gap", "per_seed", "horizon"}
    assert set(document["bc"]) == {"run", "score", "best_score"}
    assert document["bc"]["run"] == cloned["run"]
    assert (document["episodes"], document["evaluation_seed"], document["environment"]) == (2, 3, "Pendulum-v1")


def test_evaluate_of_several_runs(
    orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], root: Path
) -> None:
    document = orl("evaluate", mopo["run"], cloned["run"], "--episodes", 2, "--runs", root, "--json").document
    assert_stamped(document, [mopo["run"], cloned["run"]])
    of_mopo, of_bc = document["evaluations"]
    assert (of_mopo["algorithm"], of_bc["algorithm"]) == ("mopo", "bc")
    assert of_mopo["bc"]["score"] == of_bc["score"] == of_bc["bc"]["score"]
    assert document["seconds"] == pytest.approx(of_mopo["seconds"] + of_bc["seconds"])


def test_runs_and_data(
    orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], root: Path, pendulum_log: str
) -> None:
    listed = orl("runs", "list", "--runs", root, "--json").document
    assert_stamped(listed, [run["run"] for run in listed["runs"]])
    assert mopo["run"] in listed["run"]
    assert not [run for run in listed["run"] if run.endswith("model")]
    shown = orl("runs", "show", mopo["run"], "--json").document
    assert_stamped(shown, mopo["run"])
    assert shown["last_metrics"]["step"] == 30
    data = orl("data", "list", "--json").document
    assert_stamped(data, None)
    steps = {info["id"]: (info["steps"], info["episodes"]) for info in data["datasets"]}
    assert steps[pendulum_log] == (1600, 8)
    assert steps["orl/pendulum/mixed-v0"] == (20_000, 100)
    described = orl("data", "show", pendulum_log, "--json").document
    assert_stamped(described, None)
    assert (described["steps"], described["action_low"], described["env_id"]) == (1600, [-2.0], "Pendulum-v1")
