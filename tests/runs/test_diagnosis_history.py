"""A diagnosis of a model that sees the past: on a log whose equation is known, with a yardstick that sees as much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from late_system import DECAY, EFFECT, NOISE, late_system

from orl.data.episodes import Dataset
from orl.data.history import stacked_rows, with_history
from orl.data.normalise import identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble
from orl.evaluation.diagnosis import two_sample
from orl.evaluation.diagnosis.policy_rollouts import policy_visits
from orl.mdp.step import make_step
from orl.runs.config import FitRunConfig
from orl.runs.diagnosis_data import gather, starts_of
from orl.runs.diagnosis_model import diagnose_ensemble, horizon_section
from orl.runs.diagnosis_policy import episodes_of
from orl.runs.diagnosis_uncertainty import distances
from orl.runs.directory import load_run
from orl.runs.fit_model import fit_model, load_model
from orl.types import Array

STEPS = 6
MODEL = {"members": 2, "elites": 1, "hidden": (32,), "weight_decay": (0.0, 0.0), "max_epochs": 40, "patience": 10}
MODEL |= {"batch_size": 64, "learning_rate": 3e-3, "standardise_targets": True}


@pytest.fixture(scope="module")
def of_history(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(model, evidence, the fit's own report, the diagnosis) of a system whose actions come late by 1."""
    data, folder = with_history(late_system(delay=1), 1), tmp_path_factory.mktemp("late") / "run"
    config = FitRunConfig("late", history=1)
    report = fit_model(data, replace(config, model=replace(config.model, **MODEL)), folder)["holdout"]
    fitted, evidence = load_model(folder), gather(data, load_run(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "MIN_ROWS", len(data))  # no classifiers: tests/cli/test_diagnose.py has them
        return fitted, evidence, report, diagnose_ensemble(fitted, evidence, STEPS)


def known_errors(data: Dataset, rows: np.ndarray, spread: float) -> np.ndarray:
    """[STEPS] errors of the system's own equation, from each row on by the logged actions, inside episodes of 50."""
    squares: list[list[float]] = [[] for _ in range(STEPS)]
    for row in rows:
        obs = float(data.obs[row, 0])
        for step in range(min(STEPS, 50 - row % 50)):
            now = row + step
            obs = DECAY * obs + EFFECT * (float(data.action[now - 1, 0]) if now % 50 else 0.0)
            squares[step].append((obs - float(data.next_obs[now, 0])) ** 2)
    return np.sqrt([np.mean(each) for each in squares]) / spread


def test_the_yardstick_sees_the_past_too_and_predicts_as_well_as_the_equation(of_history: Any) -> None:
    """One step to NOISE, more to what noise adds up to, though each next stack comes of its own predictions."""
    _, evidence, report, document = of_history
    horizon, spread = document["horizon"], float(evidence.spread[0])
    known = known_errors(evidence.dataset, evidence.holdout_rows, spread)
    assert known[0] * spread == pytest.approx(NOISE, rel=0.2)
    assert horizon["error"]["linear"] == pytest.approx(known, rel=0.03)
    assert horizon["error"]["model"][0] == pytest.approx(report["rmse"], rel=1e-4)
    assert (np.asarray(horizon["error"]["model"]) < 5 * known).all()  # without the past more than 20 times
    assert horizon["error"]["persistence"][0] == pytest.approx(report["persistence_rmse"], rel=1e-4)
    assert np.shape(horizon["error_by_dim"]["model"]) == (3, 1)  # after 1, 2 and 5 steps, of the newest observation


def test_scores_speak_of_the_newest_observation(of_history: Any) -> None:
    _, evidence, _, document = of_history
    assert document["calibration"]["columns"] == ["obs 0", "reward"]
    assert document["calibration"]["rows"] == len(evidence.judged) == 200


def test_distances_are_those_of_whole_stacks_and_the_action(of_history: Any) -> None:
    """Against all pairs in NumPy: [o, o before, a before, a], each in its training spread."""
    fitted, evidence, *_ = of_history
    known = distances(fitted, evidence)
    data, sides = evidence.dataset, []
    train_rows = np.setdiff1d(np.arange(len(data)), evidence.holdout_rows)
    for rows in (train_rows, evidence.holdout_rows):
        sides.append(np.concatenate([stacked_rows(data, rows)[0], data.action[rows]], axis=1, dtype=np.float64))
    assert sides[0].shape[1] == 4
    train, held = ((each - sides[0].mean(0)) / sides[0].std(0) for each in sides)
    expected = np.linalg.norm(held[:, None] - train, axis=-1).min(axis=1)
    np.testing.assert_allclose(known.holdout, expected, rtol=1e-3, atol=1e-3)


def test_without_a_history_the_yardstick_does_not_see_what_comes(of_history: Any) -> None:
    """Its error is then that of an action it has not seen, EFFECT / sqrt(3) for one in [-1, 1]."""
    fitted, *_ = of_history
    evidence = gather(late_system(delay=1), load_run(fitted.path))
    starts = starts_of(evidence, STEPS, 256)
    still = np.repeat(np.asarray(evidence.holdout.obs)[starts.rows, None], STEPS, axis=1)
    errors = horizon_section(evidence, starts, still)["error"]
    assert errors["linear"][0] * evidence.spread[0] == pytest.approx(EFFECT / np.sqrt(3), rel=0.1)
    assert errors["model"] == errors["persistence"]


def test_policies_are_rolled_on_stacks_that_begin_as_episodes_do(of_history: Any) -> None:
    """The model says o' = o + a before, r = o; the policy plays half of the observation before.

    From o: o, o (nothing was played before), then o + o / 2 (played at first), then o + o / 2 + o / 2.
    """
    _, evidence, *_ = of_history
    episodes = episodes_of(evidence, 0.5)
    start = episodes.start[:2]
    np.testing.assert_array_equal(start[:, 0], evidence.dataset.obs[evidence.holdout_rows[[0, 50]], 0])
    np.testing.assert_array_equal(start[:, 1:], np.stack([start[:, 0], 0 * start[:, 0]], axis=1))
    config = EnsembleConfig(members=1, elites=1, hidden=(), weight_decay=(0.0,), termination_hidden=(4,))
    ensemble, out = Ensemble(config, 1, 1, history=1), identity_normaliser(2)
    params = ensemble.init(jax.random.key(0), identity_normaliser(4), out, out)
    kernel = np.zeros(params.net["params"]["Dense_0"]["kernel"].shape, np.float32)
    kernel[0, 2, 0], kernel[0, 0, 1] = 1.0, 1.0  # inputs [o, o before, a before, a]; outputs (change, reward, spreads)
    net = {"params": {"Dense_0": {"kernel": jnp.asarray(kernel), "bias": jnp.zeros((1, 4))}}}
    quiet = {"min_log_var": jnp.full(2, -60.0), "max_log_var": jnp.full(2, -50.0)}

    def act(policy: float, key: Array | None, obs: Array) -> Array:
        return policy * obs[:, 1:2]

    found = policy_visits(
        make_step(ensemble, "never"), act, params._replace(net=net, **quiet), 0.5, start, np.asarray([4, 4]), 4, 0.5
    )
    path = start[:, 0] * np.asarray([1.0, 1.0, 1.5, 2.0])[:, None]
    np.testing.assert_allclose(found.obs[..., 0], path, rtol=1e-4)
    np.testing.assert_allclose(found.obs[1:, :, 1], path[:-1], rtol=1e-4)
    np.testing.assert_allclose(found.action[1:, :, 0], path[:-1] / 2, rtol=1e-4)
    np.testing.assert_allclose(found.value, path.T @ 0.5 ** np.arange(4), rtol=1e-4)
