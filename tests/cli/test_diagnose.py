"""`orl diagnose`: numbers of the document against the fit's own and the log's, figures, tables, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_settings import TINY_AGENT, TINY_MODEL, settings

from orl.agents import behaviour_value
from orl.data.catalog import load
from orl.data.split import HOLDOUT_FRACTION, SPLIT_SEED, split_by_episode
from orl.evaluation.diagnosis import two_sample


@pytest.fixture(scope="module")
def of_policy(orl: Callable[..., Any], mopo: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The document of the mopo run's diagnosis, and its folder."""
    folder = tmp_path_factory.mktemp("diagnosis")
    done = orl("diagnose", mopo["run"], "--steps", 30, "--out", folder, "--json")
    assert done.code == 0, done.err
    return done.document, folder


def held_out_rewards(name: str) -> list[np.ndarray]:
    """Rewards of each held-out episode."""
    data = load(name)
    held = split_by_episode(data, HOLDOUT_FRACTION, SPLIT_SEED).holdout_episodes
    return [data.reward[data.starts[e] : data.starts[e] + data.lengths[e]] for e in held]


def least_squares_error(name: str) -> float:
    """One step's error of plain least squares of the change on (obs, action), in training spreads."""
    data = load(name)
    split = split_by_episode(data, HOLDOUT_FRACTION, SPLIT_SEED)
    x = np.concatenate([data.obs, data.action, np.ones((len(data), 1))], axis=1, dtype=np.float64)
    change = (data.next_obs - data.obs).astype(np.float64)
    weights, *_ = np.linalg.lstsq(x[split.train_rows], change[split.train_rows], rcond=None)
    error = (change - x @ weights)[split.holdout_rows] / data.next_obs[split.train_rows].std(axis=0, dtype=np.float64)
    return float(np.sqrt(np.mean(error**2)))


def test_one_step_errors_are_those_of_the_fit(of_policy: Any, fitted: dict[str, Any], pendulum_log: str) -> None:
    """All held-out rows are starts here, so that the numbers must be the same."""
    document, _ = of_policy
    horizon, holdout = document["horizon"], fitted["holdout"]
    assert document["model"] == {"kind": "ensemble", "run": f"{document['run']}/model"}
    assert horizon["starts"][0] == document["rows"]["holdout"] == holdout["rows"]
    assert horizon["error"]["model"][0] == pytest.approx(holdout["rmse"], rel=1e-4)
    assert horizon["error"]["persistence"][0] == pytest.approx(holdout["persistence_rmse"], rel=1e-4)
    assert horizon["starts"] == [holdout["rows"] - k * (holdout["rows"] // 200) for k in range(30)]
    assert horizon["shown_steps"] == [1, 2, 5, 10, 20]
    by_dim = np.asarray(horizon["error_by_dim"]["model"])
    assert np.sqrt(np.mean(by_dim[0] ** 2)) == pytest.approx(holdout["rmse"], rel=1e-4)
    assert horizon["error"]["linear"][0] == pytest.approx(
        least_squares_error(pendulum_log), rel=0.1
    )  # but for the ridge
    for name, even in horizon["break_even"].items():
        worse = [a >= b for a, b in zip(horizon["error"]["model"], horizon["error"][name], strict=True)]
        assert even == (worse.index(True) + 1 if any(worse) else None)


def test_calibration_and_uncertainties(of_policy: Any) -> None:
    document, _ = of_policy
    calibration = document["calibration"]
    assert calibration["columns"] == ["obs 0", "obs 1", "obs 2", "reward"]
    coverage = np.asarray(calibration["coverage"])
    assert coverage.shape == (len(calibration["levels"]), 4)
    assert (np.diff(coverage, axis=0) >= 0).all()
    off = np.abs(coverage - np.asarray(calibration["levels"])[:, None])
    assert calibration["expected_calibration_error"] == pytest.approx(off.mean())
    assert calibration["error_by_column"] == pytest.approx(off.mean(axis=0))
    assert len(document["uncertainties"]) == 10
    chosen = document["penalty"]
    (line,) = (
        line
        for line in document["uncertainties"]
        if (line["uncertainty"], line["units"]) == (chosen["uncertainty"], chosen["uncertainty_units"])
    )
    bins = document["distance"]["bins"]
    assert sum(each["rows"] for each in bins) == document["rows"]["judged"]
    share = sum(each["rows"] * each["admissible"] for each in bins) / document["rows"]["judged"]
    assert share == pytest.approx(line["admissible_share"])
    covered = sum(each["rows"] * each["admissible_with_factor"] for each in bins) / document["rows"]["judged"]
    assert covered == pytest.approx(0.95, abs=0.01)  # the very rows that it was calibrated on


def test_the_theorems_terms_belong_together(of_policy: Any, pendulum_log: str) -> None:
    """The behaviour's value is the log's own; the rest is arithmetic at the run's lambda, 1, and the calibrated one."""
    document, _ = of_policy
    policy = document["policy"]
    logged = [np.sum(policy["discount"] ** np.arange(len(r)) * r) for r in held_out_rewards(pendulum_log)]
    assert policy["behaviour_value"]["mean"] == pytest.approx(np.mean(logged), rel=1e-5)
    assert policy["horizon"] == 200  # a rollout ends with the logged episode it began with
    (seed,) = policy["seeds"]
    assert seed["promised_gain"] == pytest.approx(seed["model_value"]["mean"] - np.mean(logged), rel=1e-4)
    own, calibrated = seed["guarantees"]
    assert (own["source"], own["coef"], own["uncertainty"], own["units"]) == ("run", 1.0, "max_std", "standardised")
    assert calibrated["coef"] == document["penalty"]["penalty_coef"]
    for each in (own, calibrated):
        assert min(each["policy_uncertainty"], each["behaviour_uncertainty"]) > 0
        assert each["policy_penalty"] == pytest.approx(each["coef"] * each["policy_uncertainty"])
        assert each["holds"] == (each["coef"] >= each["needed"])
        assert each["worst_loss"] == pytest.approx(2 * each["coef"] * each["behaviour_uncertainty"])
        assert each["guaranteed_gain"] == pytest.approx(seed["promised_gain"] - each["policy_penalty"])
    ranges = seed["outside_by_step"]
    assert sum(each["rows"] for each in ranges) == seed["visited_rows"] == 4000
    mean = sum(each["rows"] * each["outside"] for each in ranges) / seed["visited_rows"]
    assert seed["outside"] == pytest.approx(mean)


def test_the_document_and_the_figures_lie_in_the_folder(of_policy: Any) -> None:
    document, folder = of_policy
    assert json.loads((folder / "diagnosis.json").read_text()) == document
    names = ["horizon.png", "calibration.png", "uncertainty.png", "policy-0.png"]
    assert document["files"] == [str(folder / name) for name in names]
    assert {(folder / name).read_bytes()[:4] for name in names} == {b"\x89PNG"}


def test_tables(orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path) -> None:
    shown = orl("diagnose", mopo["run"], "--steps", 30, "--out", tmp_path, "--quiet")
    assert (shown.code, shown.err) == (0, "")
    for text in ("ensemble", "linear", "no change", "reward", "max_std", "covered", "two-sample", "horizon.png"):
        assert text in shown.out
    assert max(map(len, shown.out.splitlines()[:40])) <= 80


def test_a_transformer(orl: Callable[..., Any], fitted_sequence: dict[str, Any], tmp_path: Path) -> None:
    done = orl("diagnose", fitted_sequence["run"], "--steps", 4, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert document["model"]["kind"] == "transformer"
    assert [len(document["horizon"]["error"][name]) for name in ("model", "linear", "persistence")] == [4, 4, 4]
    assert len(document["calibration"]["columns"]) == 4
    two = document["two_sample"]
    assert two["features"] == "obs, action, change"
    assert two["with_scores"]["accuracy"] > 0.6  # twenty updates do not make a model
    assert two["transitions"]["rows"] == document["rows"]["holdout"] - 6 * document["rows"]["holdout"] // 200
    assert "uncertainties" not in document
    assert "policy" not in document


def test_a_policy_without_a_model_is_judged_by_the_one_named(
    orl: Callable[..., Any], cloned: dict[str, Any], fitted: dict[str, Any], tmp_path: Path
) -> None:
    words = ["--steps", 5, "--seed", 1, "--out", tmp_path, "--json"]
    done = orl("diagnose", cloned["run"], "--model", fitted["run"], *words)
    assert done.code == 0, done.err
    policy = done.document["policy"]
    assert (policy["algorithm"], policy["discount"]) == ("bc", 0.99)
    assert [each["seed"] for each in policy["seeds"]] == [1]
    assert [each["source"] for each in policy["seeds"][0]["guarantees"]] == ["calibrated"]


def test_what_is_refused(
    orl: Callable[..., Any], cloned: dict[str, Any], mopo: dict[str, Any], fitted: dict[str, Any],
    planned: dict[str, Any], tmp_path: Path,
) -> None:  # fmt: skip
    """A policy without a model, what is neither model nor policy, settings that do not go together; nothing written."""
    out = ["--out", tmp_path / "none", "--quiet"]
    for arguments, code, text in (
        ([cloned["run"]], 3, "has no model"),
        ([planned["run"]], 3, "not a fitted model"),
        ([tmp_path], 3, "is not a run folder"),
        ([fitted["run"], "--model", fitted["run"]], 2, "--model and --seed are for policies"),
        ([mopo["run"], "--seed", 7], 2, "holds the seeds [0], not 7"),
        ([mopo["run"], "--discount", 0.5], 2, "trained with a discount of 0.99"),
        ([fitted["run"], "--share", 1.0], 2, "must lie between 0 and 1"),
        ([fitted["run"], "--discount", 1.0], 2, "discount"),
    ):
        done = orl("diagnose", *arguments, *out)
        assert (done.code, done.out) == (code, ""), done.err
        assert text in done.err
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_policy_and_a_model_that_see_a_history(
    orl: Callable[..., Any],
    cloned: dict[str, Any],
    pendulum_log: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors speak of the newest observation, one step's as the fit's own; a policy without that history is refused."""
    monkeypatch.setattr(behaviour_value, "STEPS", 50)  # neither the value nor the classifier need be good here
    monkeypatch.setattr(two_sample, "STEPS", 50)
    words = ["-d", pendulum_log, "--history", 1, "--runs", tmp_path, "--json"]
    fit = orl("fit-model", *words, *settings(TINY_MODEL))
    policy = orl("train-policy", "-a", "bc", "--steps", 10, *words, *settings(TINY_AGENT))
    assert (fit.code, policy.code) == (0, 0), fit.err + policy.err
    done = orl("diagnose", policy.document["run"], "--model", fit.document["run"], "--steps", 3, "--json")
    assert done.code == 0, done.err
    errors, holdout = done.document["horizon"]["error"], fit.document["holdout"]
    assert errors["model"][0] == pytest.approx(holdout["rmse"], rel=1e-4)
    assert errors["persistence"][0] == pytest.approx(holdout["persistence_rmse"], rel=1e-4)
    assert np.shape(done.document["horizon"]["error_by_dim"]["linear"]) == (2, 3)
    assert done.document["calibration"]["columns"] == ["obs 0", "obs 1", "obs 2", "reward"]
    assert done.document["two_sample"]["transitions"]["rows"] == holdout["rows"]
    assert len(done.document["uncertainties"]) == 10
    judged = done.document["policy"]
    logged = [np.sum(0.99 ** np.arange(len(r)) * r) for r in held_out_rewards(pendulum_log)]
    assert judged["behaviour_value"]["mean"] == pytest.approx(np.mean(logged), rel=1e-5)
    (seed,) = judged["seeds"]
    assert np.isfinite(seed["model_value"]["mean"])
    assert seed["visited_rows"] == 4000
    refused = orl("diagnose", cloned["run"], "--model", fit.document["run"], "--out", tmp_path / "none", "--quiet")
    assert (refused.code, refused.out) == (2, "")
    assert "sees a history of 0 and --model" in refused.err
    assert not (tmp_path / "none").exists()
