"""What the project promises, measured as a user would: heavy, so marked slow and run by `make slow`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl.data.catalog import load
from orl.evaluation.scores import behaviour_summary
from orl.runs.config import resolve_fit, resolve_policy
from orl.runs.evaluate import evaluate
from orl.runs.fit_model import fit_model
from orl.runs.fits import fit_path
from orl.runs.loading import load_split
from orl.runs.policy import load_policy
from orl.runs.train_policy import default_policy_path, train_policy

pytestmark = pytest.mark.slow

MIXED, NARROW = "orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0"
LOGS = Path(os.environ.get("ORL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder of the proofs' own, and a datasets folder beside it."""
    folder = tmp_path_factory.mktemp("proofs")
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "datasets")
    return folder / "runs"


def trained(root: Path, dataset: str, algorithm: str, **changes: Any) -> dict[str, Any]:
    """The evaluation of three seeds at the preset, 20 episodes each."""
    config, presets = resolve_policy(dataset, algorithm, {"seeds": [0, 1, 2], **changes})
    path = default_policy_path(root, config)
    train_policy(load(dataset), config, path, root=root, presets=presets)
    return evaluate(path, episodes=20)


def test_the_pessimistic_methods_solve_the_default_dataset(root: Path) -> None:
    """mopo, morel and combo score at least 95 and bc + 10; bc at most 80, the behaviour at most 45."""
    assert behaviour_summary(load(MIXED))["score"] <= 45
    bc = trained(root, MIXED, "bc")["score"]["mean"]
    assert bc <= 80
    for algorithm in ("mopo", "morel", "combo"):
        score = trained(root, MIXED, algorithm)["score"]["mean"]
        assert score >= max(95, bc + 10), algorithm


def test_pessimism_keeps_the_model_honest_on_the_narrow_dataset(root: Path) -> None:
    """mbpo's model promises 20 points more than the truth; mopo's gap is at most half of that, and combo is at least as
    good as the behaviour."""
    gap = trained(root, NARROW, "mbpo")["model_value"]["gap"]
    assert gap >= 20
    assert trained(root, NARROW, "mopo")["model_value"]["gap"] <= gap / 2
    combo = trained(root, NARROW, "combo")
    assert combo["score"]["mean"] >= combo["behaviour"]["score"]


@pytest.mark.xfail(reason="gap +32.5 of mbpo's +41.5 with the model of seed 0; -60 and so on with others", strict=True)
def test_halting_keeps_the_model_honest_on_the_narrow_dataset(root: Path) -> None:
    """morel's gap is at most half of mbpo's. With the preset's threshold HALT is never reached: see morel.toml."""
    gap = trained(root, NARROW, "mbpo")["model_value"]["gap"]
    assert trained(root, NARROW, "morel")["model_value"]["gap"] <= gap / 2


def least_squares_ratio(name: str) -> float:
    """One-step rmse over persistence of a linear model, by plain NumPy, on the same split."""
    data = load_split(load(name), 0.1, 20_000)

    def design(rows: Any) -> np.ndarray:
        ones = np.ones((len(rows.reward), 1))
        return np.concatenate([rows.obs, rows.action, ones], axis=1).astype(np.float64)

    change = np.asarray(data.train.next_obs - data.train.obs, np.float64)
    weights, *_ = np.linalg.lstsq(design(data.train), change, rcond=None)
    std = np.asarray(data.train.next_obs).std(axis=0)
    drift = np.asarray(data.holdout.next_obs - data.holdout.obs, np.float64)
    error = design(data.holdout) @ weights - drift
    return float(np.sqrt(np.mean((error / std) ** 2) / np.mean((drift / std) ** 2)))


def test_a_real_log_without_an_environment(root: Path) -> None:
    """DMSD: the model is as good as least squares (two of its six dimensions are noise), and policies act in bounds."""
    name = str(LOGS / "neorl2" / "DMSD-high-100000-train.npz")
    if not Path(name).exists():
        pytest.skip("needs the real log DMSD-high-100000-train.npz (ORL_SHARED_DATA)")
    data = load(name)
    fit, presets = resolve_fit(name, {})
    document = fit_model(data, fit, fit_path("ensemble", root, data, fit), presets=presets)
    ratio = document["holdout"]["rmse_over_persistence"]
    assert ratio < 0.16
    assert ratio <= 1.05 * least_squares_ratio(name)
    held_out = load_split(data, 0.1, 20_000).split.holdout_rows
    for algorithm in ("mopo", "combo"):
        short = {"steps": 300, "epoch_steps": 100}
        config, presets = resolve_policy(name, algorithm, {"train": short, "agent": {"rollout_batch": 2000}})
        path = default_policy_path(root, config)
        train_policy(data, config, path, root=root, presets=presets)
        action = load_policy(path)(data.obs[held_out])
        assert action.shape == (len(held_out), 2)
        assert np.isfinite(action).all()
        assert (action >= data.action_low).all()
        assert (action <= data.action_high).all()
