"""The held-out report against plain NumPy: own forward pass, own loops, numbers of a tiny ensemble."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.normalise import Normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.report import holdout_report
from orl.types import Transition

OBS, ACTIONS, ROWS = 2, 1, 23
STARTS = np.array([0, 7, 19])  # episodes of 7, 12 and 4 rows


@pytest.fixture(scope="module")
def case() -> tuple[Ensemble, EnsembleParams, Transition]:
    """An unfitted ensemble of three whose elites are members 2 and 0, and rows without any structure."""
    config = EnsembleConfig(members=3, elites=2, hidden=(6,), weight_decay=(0.0, 0.0), termination_hidden=(4,))
    ensemble = Ensemble(config, OBS, ACTIONS, learned_termination=True)
    rng = np.random.default_rng(3)

    def scale(size: int) -> Normaliser:
        return Normaliser(
            jnp.asarray(rng.normal(size=size), jnp.float32), jnp.asarray(rng.uniform(0.5, 2, size), jnp.float32)
        )

    params = ensemble.init(jax.random.key(1), scale(OBS + ACTIONS), scale(OBS + 1), scale(OBS + 1))
    params = params._replace(elites=jnp.array([2, 0], jnp.int32))
    obs, next_obs = rng.normal(size=(2, ROWS, OBS)).astype(np.float32)
    action = rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32)
    reward = rng.normal(size=ROWS).astype(np.float32)
    terminated = (rng.uniform(size=ROWS) < 0.4).astype(np.float32)
    return ensemble, params, Transition(*map(jnp.asarray, (obs, action, reward, next_obs, terminated)))


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def forward(params: EnsembleParams, member: int, obs: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of one member, raw units, from the weights alone."""
    net = jax.tree.map(lambda leaf: np.asarray(leaf[member], np.float64), params.net["params"])
    x = (np.concatenate([obs, action], -1) - np.asarray(params.inputs.mean)) / np.asarray(params.inputs.std)
    hidden = swish(x @ net["Dense_0"]["kernel"] + net["Dense_0"]["bias"])
    out = hidden @ net["Dense_1"]["kernel"] + net["Dense_1"]["bias"]
    mean, log_var = out[:, : OBS + 1], out[:, OBS + 1 :]
    low, high = np.asarray(params.min_log_var), np.asarray(params.max_log_var)
    log_var = high - softplus(high - log_var)
    log_var = low + softplus(log_var - low)
    std = np.asarray(params.targets.std)
    return mean * std + np.asarray(params.targets.mean), np.exp(log_var / 2) * std


def elite_step(params: EnsembleParams, obs: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = (forward(params, 2, obs, action)[0] + forward(params, 0, obs, action)[0]) / 2
    return obs + both[:, :OBS], both[:, OBS]


def rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.fixture(scope="module")
def report(case: tuple[Ensemble, EnsembleParams, Transition]) -> dict[str, Any]:
    ensemble, params, rows = case
    return holdout_report(ensemble, params, rows, STARTS)


def test_one_step_errors_equal_numpy(case: Any, report: dict[str, Any]) -> None:
    _, params, rows = case
    rows = Transition(*map(np.asarray, rows))
    spread = np.asarray(params.outputs.std)[:OBS]
    next_obs, reward = elite_step(params, rows.obs, rows.action)
    wrong, drift = next_obs - rows.next_obs, rows.obs - rows.next_obs
    assert report["rmse"] == pytest.approx(rms(wrong / spread), rel=1e-5)
    assert report["persistence_rmse"] == pytest.approx(rms(drift / spread), rel=1e-5)
    assert report["rmse_over_persistence"] == pytest.approx(rms(wrong / spread) / rms(drift / spread), rel=1e-5)
    assert report["rmse_per_dim"] == pytest.approx([rms(wrong[:, 0]), rms(wrong[:, 1])], rel=1e-5)
    assert report["persistence_per_dim"] == pytest.approx([rms(drift[:, 0]), rms(drift[:, 1])], rel=1e-5)
    assert report["reward_rmse"] == pytest.approx(rms(reward - rows.reward), rel=1e-5)
    assert report["rows"] == ROWS


def test_nll_is_of_all_members_with_its_constant(case: Any, report: dict[str, Any]) -> None:
    _, params, rows = case
    rows = Transition(*map(np.asarray, rows))
    target = np.concatenate([rows.next_obs - rows.obs, rows.reward[:, None]], -1)
    terms = []
    for member in range(3):
        mean, std = forward(params, member, rows.obs, rows.action)
        density = np.exp(-0.5 * ((target - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        terms.append(-np.log(density))
    assert report["nll"] == pytest.approx(float(np.mean(terms)), rel=1e-5)


def test_k_step_errors_equal_a_plain_loop(case: Any, report: dict[str, Any]) -> None:
    """Windows of k rows laid end to end inside each episode; an episode shorter than k has none."""
    _, params, rows = case
    rows = Transition(*map(np.asarray, rows))
    spread = np.asarray(params.outputs.std)[:OBS]
    assert list(report["k_step"]) == ["1", "5", "10"]  # no episode has 25 rows
    for k in (1, 5, 10):
        wrong, drift = [], []
        for first, end in ((0, 7), (7, 19), (19, 23)):
            row = first
            while row + k <= end:
                obs = rows.obs[row : row + 1]
                for step in range(k):
                    obs, _ = elite_step(params, obs, rows.action[row + step : row + step + 1])
                wrong.append((obs[0] - rows.next_obs[row + k - 1]) / spread)
                drift.append((rows.obs[row] - rows.next_obs[row + k - 1]) / spread)
                row += k
        assert report["k_step"][str(k)]["rmse"] == pytest.approx(rms(wrong), rel=1e-4)
        ratio = rms(wrong) / rms(drift)
        assert report["k_step"][str(k)]["rmse_over_persistence"] == pytest.approx(ratio, rel=1e-4)
    assert report["k_step"]["1"]["rmse"] == pytest.approx(report["rmse"], rel=1e-6)


def test_learned_ends_are_counted(case: Any, report: dict[str, Any]) -> None:
    _, params, rows = case
    rows = Transition(*map(np.asarray, rows))
    head = jax.tree.map(np.asarray, params.termination["params"])
    x = (np.concatenate([rows.obs, rows.action], -1) - np.asarray(params.inputs.mean)) / np.asarray(params.inputs.std)
    outputs = params.outputs
    z = (rows.next_obs - np.asarray(outputs.mean)[:OBS]) / np.asarray(outputs.std)[:OBS]
    hidden = swish(np.concatenate([x, z], -1) @ head["Dense_0"]["kernel"] + head["Dense_0"]["bias"])
    called = (hidden @ head["Dense_1"]["kernel"] + head["Dense_1"]["bias"])[:, 0] > 0
    true = rows.terminated == 1
    expected = {"terminals": true.sum(), "found": (called & true).sum(), "false_alarms": (called & ~true).sum()}
    assert 0 < called.sum() < ROWS  # else the counts say little
    assert report["termination"] == expected
