"""`--penalty calibrated`: what is found on a system that is known, and how a run keeps it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import linear_ensemble
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, settings

from orl.agents import behaviour_value
from orl.config import read_toml
from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.data.normalise import Normaliser
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.dynamics.uncertainty import UNCERTAINTIES
from orl.errors import UsageError
from orl.runs import calibration, train_policy
from orl.runs.calibration import calibrate
from orl.runs.config import resolve_policy
from orl.runs.fit_model import FittedModel

TINY = settings(TINY_MODEL, TINY_AGENT, TINY_ROLLOUT)


@pytest.fixture(autouse=True)
def short_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer updates of the behaviour's value than a real log needs."""
    monkeypatch.setattr(behaviour_value, "STEPS", 150)


def halving_log(episodes: int = 40) -> Dataset:
    """s' = s / 2 with reward s, ten steps from a start in [-4, 4]; the actions do nothing."""
    rng = np.random.default_rng(0)
    obs = (rng.uniform(-4.0, 4.0, (episodes, 1)) * 0.5 ** np.arange(10)).reshape(-1, 1).astype(np.float32)
    none = np.zeros(len(obs), bool)
    cut = np.tile(np.arange(10) == 9, episodes)
    one = np.ones(1, np.float32)
    starts = np.arange(0, len(obs), 10)
    action = rng.uniform(-1.0, 1.0, (len(obs), 1)).astype(np.float32)
    return Dataset("halving", obs, action, obs[:, 0], obs / 2, none, cut, starts, -one, one)


def halving_model(path: Path, slopes: tuple[float, ...] = (0.7, 0.8, 0.9), reward: float = 1.1) -> FittedModel:
    """Members with these slopes, the middle one the only elite; standardised units are 2 for s and 4 for rewards."""
    ensemble, params = linear_ensemble(slopes, reward, (len(slopes) // 2,))
    return FittedModel(
        ensemble, params._replace(outputs=Normaliser(jnp.zeros(2), jnp.asarray([2.0, 4.0]))), "never", path
    )


def test_lambda_on_a_linear_system(tmp_path: Path) -> None:
    """The elite says s' = 0.8 s and r = 1.1 s, members disagree by 0.2 |s|; V = s / (1 - 0.5 g), fitted from the log.

    With 2 for the unit of s, L is 2 / (1 - 0.5 g), the bound (0.1 + 0.3 / 2 g L) |s|, u 0.1 |s|, lambda their ratio.
    """
    data = halving_log()
    found = calibrate(data, halving_model(tmp_path), discount=0.9)
    assert found.lipschitz == pytest.approx(2 / (1 - 0.45), rel=0.1)
    coef = {(each.uncertainty, each.units): each.penalty_coef for each in found.table}
    expected = 0.1 + 0.15 * 0.9 * found.lipschitz
    assert coef["max_pairwise", "standardised"] == pytest.approx(expected / 0.1, rel=1e-3)
    assert coef["max_pairwise", "raw"] == pytest.approx(expected / 0.2, rel=1e-3)
    assert set(coef) == {(name, units) for name in UNCERTAINTIES for units in ("raw", "standardised")}
    assert found.rows == len(split_by_episode(data, 0.1, SPLIT_SEED).holdout_rows)
    assert found.episodes == found.rows / 10
    assert found.mean_reward == pytest.approx(float(np.mean(load_held_out(data))), rel=1e-5)
    assert found.mean_error == pytest.approx(expected * float(np.mean(np.abs(load_held_out(data)))), rel=1e-3)


def test_a_steeper_value_asks_for_more_and_covers_more(tmp_path: Path) -> None:
    """The longest gradient in place of the slope along the errors."""
    found, steeper = (
        calibrate(halving_log(), halving_model(tmp_path), discount=0.9, lipschitz_quantile=quantile)
        for quantile in (None, 1.0)
    )
    assert steeper.lipschitz > found.lipschitz
    assert steeper.chosen.penalty_coef > found.chosen.penalty_coef
    assert steeper.covered > 0.95 > found.covered  # with nothing to spare each error is just met: a tie


def load_held_out(data: Dataset) -> np.ndarray:
    """Rewards of the held-out rows."""
    return data.reward[split_by_episode(data, 0.1, SPLIT_SEED).holdout_rows]


def test_few_of_many_rows_are_enough(tmp_path: Path) -> None:
    """Evenly spread over the held-out rows, which are said to be of so many episodes."""
    found = calibrate(halving_log(), halving_model(tmp_path), discount=0.9, max_rows=8)
    assert (found.rows, found.episodes) == (8, 4)


def test_a_penalty_beyond_the_reward_is_warned_of_where_episodes_end(tmp_path: Path) -> None:
    found = calibrate(halving_log(), halving_model(tmp_path), discount=0.9)
    dear = replace(found, mean_reward=0.5 * found.chosen.mean_penalty)
    assert dear.caution() is None  # nothing ends here
    assert "may learn to end them" in str(replace(dear, ends=True).caution())
    assert replace(found, mean_reward=2.0 * found.chosen.mean_penalty, ends=True).caution() is None


@pytest.fixture(scope="module")
def calibrated(orl: Callable[..., Any], pendulum_log: str, root: Path, fitted: dict[str, Any]) -> Any:
    """A tiny calibrated mopo on the shared tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behaviour_value, "STEPS", 20)
        words = ["-a", "mopo", "-d", pendulum_log, "--penalty", "calibrated", "--share", 0.6, "--steps", 20]
        return orl("train-policy", *words, "--runs", root, "--json", *TINY)


def test_a_run_is_trained_with_what_was_found(calibrated: Any, fitted: dict[str, Any]) -> None:
    """The settings of the run are numbers, and run.json says where they came from."""
    assert calibrated.code == 0, calibrated.err
    run = Path(calibrated.document["run"])
    assert run.name.startswith("mopo-s0-calibrated0.6-")
    figures = json.loads((run / "run.json").read_text())["penalty"]
    assert figures == calibrated.document["penalty"]
    agent = read_toml(run / "config.toml")["agent"]
    assert {key: agent[key] for key in ("uncertainty", "uncertainty_units", "penalty_coef")} == {
        key: figures[key] for key in ("uncertainty", "uncertainty_units", "penalty_coef")
    }
    rows = {(row["uncertainty"], row["units"]): row for row in figures["table"]}
    chosen = rows[figures["uncertainty"], "standardised"]
    assert chosen["penalty_coef"] == figures["penalty_coef"] > 0
    usable = [rows[name, "standardised"]["backup_rank_correlation"] for name in ("max_std", "mixture_std")]
    assert chosen["backup_rank_correlation"] == max(value for value in usable if value is not None)
    assert (figures["share"], figures["discount"], figures["rows"]) == (
        0.6,
        agent["discount"],
        fitted["holdout"]["rows"],
    )
    assert f"penalty {figures['penalty_coef']:.3g} x {figures['uncertainty']}" in calibrated.err
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    ratio = metrics[-1]["penalty"] / metrics[-1]["uncertainty"]
    assert ratio == pytest.approx(figures["penalty_coef"], rel=1e-4)


def test_the_same_command_goes_on_with_the_recorded_numbers(
    orl: Callable[..., Any], calibrated: Any, pendulum_log: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished or interrupted, and without calibrating anew; another share or none is another run."""

    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("calibrated again")

    monkeypatch.setattr("orl.runs.penalty.calibrate", never)
    run = Path(calibrated.document["run"])
    words = ["-a", "mopo", "-d", pendulum_log, "--steps", 20, "--runs", root, "--out", run, "--json", *TINY]
    again = orl("train-policy", *words, "--penalty", "calibrated", "--share", 0.6)
    assert (again.code, again.document["penalty"]) == (0, calibrated.document["penalty"])
    before = (run / "run.json").read_bytes()
    other = orl("train-policy", *words, "--penalty", "calibrated")
    assert other.code == 2
    assert "its penalty covers a share of 0.6, and 0.75 is asked for now" in other.err
    assert "agent." in orl("train-policy", *words).err
    assert (run / "run.json").read_bytes() == before
    interrupted = json.loads(before) | {"status": "interrupted"}
    (run / "run.json").write_text(json.dumps(interrupted))
    assert orl("train-policy", *words, "--penalty", "calibrated", "--share", 0.6).code == 0
    (run / "run.json").write_bytes(before)


def test_a_run_of_a_set_penalty_is_not_taken_for_a_calibrated_one(
    orl: Callable[..., Any], mopo: dict[str, Any], pendulum_log: str, root: Path
) -> None:
    words = ["-a", "mopo", "-d", pendulum_log, "--out", mopo["run"], "--runs", root, *TINY]
    done = orl("train-policy", *words, "--penalty", "calibrated")
    assert done.code == 2
    assert "its penalty is not calibrated" in done.err


def test_a_number_is_the_penalty(orl: Callable[..., Any], pendulum_log: str, tmp_path: Path) -> None:
    """On top of --set, as flags are."""
    words = ["-d", pendulum_log, "--runs", tmp_path, "--dry-run", "--no-probe", "--json", *TINY]
    done = orl("train-policy", "-a", "mopo", *words, "--penalty", 2.5, "--set", "agent.penalty_coef=7")
    assert done.document["config"]["agent"]["penalty_coef"] == 2.5
    assert done.document["notes"] == []


def test_a_dry_run_says_that_the_penalty_is_still_open(
    orl: Callable[..., Any], calibrated: Any, pendulum_log: str, root: Path, tmp_path: Path
) -> None:
    """And shows the recorded numbers where there are some."""
    words = ["-d", pendulum_log, "--dry-run", "--no-probe", "--json", "--penalty", "calibrated", *TINY]
    done = orl("train-policy", *words, "--runs", tmp_path)
    assert done.document["notes"] == [
        "agent.uncertainty, agent.uncertainty_units, agent.penalty_coef will be calibrated once there is a model"
    ]
    assert list(tmp_path.iterdir()) == []
    there = orl("train-policy", *words, "--steps", 20, "--runs", root, "--share", 0.6)
    assert there.document["run"] == calibrated.document["run"]
    assert there.document["config"]["agent"]["penalty_coef"] == calibrated.document["penalty"]["penalty_coef"]
    assert there.document["notes"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-a", "combo", "--penalty", "calibrated"], "--penalty calibrated goes with mopo"),
        (["-a", "bc", "--penalty", "2"], "--penalty goes with mopo"),
        (["-a", "mopo", "--penalty", "much"], "--penalty much: expected a number, 0 or more, or calibrated"),
        (["-a", "mopo", "--penalty=-1"], "--penalty -1: expected a number"),
        (["-a", "mopo", "--penalty", "2", "--share", "0.5"], "--share goes with --penalty calibrated"),
        (["-a", "mopo", "--penalty", "calibrated", "--share", "1.5"], "must lie between 0 and 1"),
        (
            ["-a", "mopo", "--penalty", "calibrated", "--set", "agent.uncertainty=max_std"],
            "--penalty calibrated decides agent.uncertainty",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, words: list[str], message: str
) -> None:
    done = orl("train-policy", "-d", pendulum_log, "--runs", tmp_path, *words)
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert message in done.err


def test_the_library_refuses_another_algorithm_too(pendulum_log: str, tmp_path: Path) -> None:
    config, _ = resolve_policy(pendulum_log, "mbpo", {})
    with pytest.raises(UsageError, match="mbpo subtracts no such penalty"):
        train_policy.train_policy(load(pendulum_log), config, tmp_path / "run", penalty_share=0.5)
    assert list(tmp_path.iterdir()) == []


def test_figures_that_do_not_exist_are_null(tmp_path: Path) -> None:
    """Members without spread: max_std orders nothing, and the document is JSON all the same."""
    found = calibrate(halving_log(), halving_model(tmp_path, (0.8, 0.8), 1.0), discount=0.9)
    table = {row["uncertainty"]: row for row in found.document()["table"] if row["units"] == "raw"}
    assert table["max_pairwise"]["conformal_factor"] is None
    assert math.isinf(next(each for each in found.table if each.uncertainty == "max_pairwise").conformal_factor)
    assert json.loads(json.dumps(found.document(), allow_nan=False))["share"] == calibration.SHARE
