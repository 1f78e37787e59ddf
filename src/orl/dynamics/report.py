"""How wrong a fitted ensemble is on held-out episodes."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.data.history import newest_of, shift_history
from orl.dynamics.ensemble import Ensemble, EnsembleParams, next_obs_normaliser
from orl.dynamics.fit import targets_of
from orl.types import Array, Transition

HORIZONS = (1, 5, 10, 25, 50)
CHUNK = 4096


def elite_mean(ensemble: Ensemble, params: EnsembleParams, obs: Array, action: Array) -> tuple[Array, Array]:
    """(next_obs [B, W], reward [B]): the mean of the elites' mean predictions, and what it leaves of the history."""
    mean = jnp.mean(ensemble.predict(params, obs, action).mean[params.elites], axis=0)
    return shift_history(obs, action, obs[:, : ensemble.obs_dim] + mean[:, :-1]), mean[:, -1]


def holdout_report(ensemble: Ensemble, params: EnsembleParams, rows: Transition, starts: np.ndarray) -> dict[str, Any]:
    """Errors of the newest observation on held-out rows [N, ...] whose episodes begin at `starts`.

    Returns:
        ``rmse``: one step, elite mean, over observation dimensions in units of the training spread.
        ``rmse_over_persistence``: that, divided by the same error of predicting "nothing changes".
        ``rmse_per_dim``, ``persistence_per_dim``, ``reward_rmse``: in raw units. ``nll``: in nats per dimension, with
        its constant, of the equal mixture's mean member. ``k_step``: open-loop rmse and ratio by number of steps.
    """
    predict = jax.jit(partial(elite_mean, ensemble))
    next_obs, reward = _in_chunks(lambda obs, action: predict(params, obs, action), rows.obs, rows.action)
    std = np.asarray(next_obs_normaliser(params).std)
    now, target = (np.asarray(x)[:, : ensemble.obs_dim] for x in (rows.obs, rows.next_obs))
    error, drift = next_obs[:, : ensemble.obs_dim] - target, now - target
    rmse, persistence = _rms(error / std), _rms(drift / std)
    report = {
        "rmse": rmse,
        "persistence_rmse": persistence,
        "rmse_over_persistence": rmse / max(persistence, 1e-12),
        "rmse_per_dim": _rms(error, axis=0).tolist(),
        "persistence_per_dim": _rms(drift, axis=0).tolist(),
        "reward_rmse": _rms(reward - np.asarray(rows.reward)),
        "nll": _mean_nll(ensemble, params, rows),
        "k_step": k_step_errors(ensemble, params, rows, starts, std),
        "rows": len(rows.reward),
    }
    if ensemble.learned_termination:
        report["termination"] = _termination_report(ensemble, params, rows)
    return report


def k_step_errors(
    ensemble: Ensemble, params: EnsembleParams, rows: Transition, starts: np.ndarray, std: np.ndarray
) -> dict[str, dict[str, float]]:
    """Open loop with the logged actions: standardised rmse after k steps, and its ratio to persistence over k steps.

    Args:
        rows: [N, ...]. starts: [M] first rows of the stretches. std: [O] unit of the errors.
    """
    lengths = np.diff(np.append(starts, len(rows.reward)))
    predict = jax.jit(partial(elite_mean, ensemble))
    now, after = (np.asarray(x)[:, : ensemble.obs_dim] for x in (rows.obs, rows.next_obs))
    errors: dict[str, dict[str, float]] = {}
    for k in HORIZONS:
        begin = np.concatenate(
            [s + np.arange(0, n - k + 1, k) for s, n in zip(starts, lengths, strict=True) if n >= k] or [[]]
        )
        if len(begin) == 0:
            break
        begin = begin.astype(np.int64)
        obs = rows.obs[begin]
        for step in range(k):
            obs = predict(params, obs, rows.action[begin + step])[0]
        target = after[begin + k - 1]
        rmse = _rms((np.asarray(obs)[:, : ensemble.obs_dim] - target) / std)
        persistence = _rms((now[begin] - target) / std)
        errors[str(k)] = {"rmse": rmse, "rmse_over_persistence": rmse / max(persistence, 1e-12)}
    return errors


def _in_chunks(fn: Any, *arrays: Array) -> tuple[np.ndarray, ...]:
    parts = [fn(*(x[i : i + CHUNK] for x in arrays)) for i in range(0, arrays[0].shape[0], CHUNK)]
    return tuple(np.concatenate([np.asarray(part[j]) for part in parts]) for j in range(len(parts[0])))


def _rms(x: np.ndarray, axis: int | None = None) -> Any:
    value = np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=axis))
    return value if axis is not None else float(value)


def _mean_nll(ensemble: Ensemble, params: EnsembleParams, rows: Transition) -> float:
    """Gaussian negative log-likelihood in nats per output dimension, averaged over members, raw units."""

    @jax.jit
    def nll(obs: Array, action: Array, target: Array) -> tuple[Array]:
        prediction = ensemble.predict(params, obs, action)
        z = (prediction.mean - target) / prediction.std
        value = 0.5 * z**2 + jnp.log(prediction.std) + 0.5 * jnp.log(2.0 * jnp.pi)
        return (jnp.mean(value, axis=(0, 2)),)

    (values,) = _in_chunks(nll, rows.obs, rows.action, targets_of(newest_of(rows, ensemble.obs_dim)))
    return float(np.mean(values, dtype=np.float64))


def _termination_report(ensemble: Ensemble, params: EnsembleParams, rows: Transition) -> dict[str, float]:
    (logit,) = _in_chunks(lambda *x: (ensemble.termination_logit(params, *x),), rows.obs, rows.action, rows.next_obs)
    called, true = logit > 0, np.asarray(rows.terminated) > 0.5
    return {
        "terminals": int(true.sum()),
        "found": int((called & true).sum()),
        "false_alarms": int((called & ~true).sum()),
    }
