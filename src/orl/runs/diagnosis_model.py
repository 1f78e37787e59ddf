"""What held-out episodes say of a fitted ensemble or a density model: the sections of its diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.history import newest_of
from orl.evaluation.diagnosis.calibration import LEVELS, central_coverage, expected_calibration_error
from orl.evaluation.diagnosis.folds import folds_of_rows
from orl.evaluation.diagnosis.linear_model import fit_linear, linear_step
from orl.evaluation.diagnosis.transforms import ensemble_scores, sequence_scores
from orl.evaluation.diagnosis.two_sample import FOLDS, two_sample_test
from orl.evaluation.horizon import break_even, horizon_errors_by_dim
from orl.mdp.open_loop import open_loop
from orl.mdp.step import make_step, mean_step
from orl.runs.diagnosis_data import Evidence, Starts, starts_of
from orl.runs.directory import RunDirectory
from orl.runs.fit_model import FittedModel
from orl.runs.fit_sequence import FittedSequence, load_sequence
from orl.runs.predict import roll_model
from orl.runs.sequences import log_of
from orl.runs.stretches import CONTEXT, stretches_from
from orl.sequence.discretiser import encode_rows
from orl.sequence.tokens import columns
from orl.types import Transition

Floats = NDArray[np.float32]

FEATURES = "obs, action, change"
FARTHEST = 8.0  # normal scores beyond say no more
SHOWN_STEPS = (1, 2, 5, 10, 20, 50, 100)  # at which errors are given by dimension
ENSEMBLE_STARTS = 256
SEQUENCE_STARTS, SEQUENCE_DRAWS, SEQUENCE_ROWS = 32, 4, 1000  # a density model takes a pass a token


class Sample(NamedTuple):
    """N transitions: what a classifier sees of them [N, D], and the normal scores of what came after [N, F]."""

    features: Floats
    scores: Floats


def diagnose_ensemble(fitted: FittedModel, evidence: Evidence, steps: int) -> dict[str, Any]:
    """The sections `horizon`, `calibration` and `two_sample` of an ensemble."""
    ensemble, params, rows = fitted.ensemble, fitted.params, evidence.judged_rows
    starts = starts_of(evidence, steps, ENSEMBLE_STARTS)
    predicted = _open_loop(mean_step(ensemble), params, evidence, starts)
    step = jax.jit(make_step(ensemble, "never"))(params, jax.random.key(0), rows.obs, rows.action)
    drawn = rows._replace(next_obs=step.next_obs, reward=step.reward)
    scores = ensemble_scores(ensemble, params, rows)
    samples = [
        Sample(_features(each, ensemble.obs_dim, with_reward=True), by)
        for each, by in ((rows, scores), (drawn, ensemble_scores(ensemble, params, drawn)))
    ]
    return {
        "horizon": horizon_section(evidence, starts, predicted) | {"prediction": "the elites' mean, step by step"},
        "calibration": calibration_section(scores) | {"transform": "normal scores in the mixture of the elites"},
        "two_sample": two_sample_section(evidence, evidence.judged, *samples) | {"features": FEATURES + ", reward"},
    }


def diagnose_sequence(run: RunDirectory, evidence: Evidence, steps: int) -> dict[str, Any]:
    """The sections `horizon`, `calibration` and `two_sample` of a transformer or an LSTM."""
    fitted = load_sequence(run.path)
    model, params, discretiser = fitted.model, fitted.params, fitted.params.discretiser
    starts, near = starts_of(evidence, steps, SEQUENCE_STARTS, CONTEXT), _followed(evidence)
    paths, drawn = (_drawn(run, evidence, *each) for each in ((starts, SEQUENCE_DRAWS), (near, 1)))
    tokens = _windows_ending_at(near.rows + 1, fitted, evidence)
    seen = discretiser.encode_dims(jnp.asarray(drawn[0, :, 0]), 0)
    redrawn = tokens.at[:, -1, : model.obs_dim].set(seen)
    scores, own = (sequence_scores(model, params, each, jax.random.key(1)) for each in (tokens, redrawn))
    rows = jax.tree.map(lambda x: x[near.rows], evidence.holdout)
    samples = []  # both through the bins, else the drawn ones would be told by their few values
    for each, by in ((tokens[:, -1, : model.obs_dim], scores), (seen, own)):
        after = rows._replace(next_obs=discretiser.decode_dims(each, 0))
        samples.append(Sample(_features(after, model.obs_dim, with_reward=False), by[:, :-1]))
    return {
        "horizon": horizon_section(evidence, starts, paths.mean(axis=0))
        | {"prediction": f"the mean of {SEQUENCE_DRAWS} draws"},
        "calibration": calibration_section(scores)
        | {"transform": "randomised normal scores in the discretised conditionals"},
        "two_sample": two_sample_section(evidence, near.rows, *samples) | {"features": FEATURES},
    }


def horizon_section(evidence: Evidence, starts: Starts, predicted: Floats) -> dict[str, Any]:
    """Errors by steps ahead of `predicted` [N, H, O], of a linear model and of no change; by dimension at some."""
    size = evidence.dataset.spec.obs_dim
    real = np.asarray(evidence.holdout.next_obs)[starts.ahead, :size]
    linear = _open_loop(linear_step, fit_linear(evidence.train, evidence.fold, size), evidence, starts)
    still = np.broadcast_to(np.asarray(evidence.holdout.obs)[starts.rows, None, :size], real.shape)
    paths = {"model": predicted, "linear": linear, "persistence": still}
    by_dim = {name: horizon_errors_by_dim(path, real, evidence.spread, starts.inside) for name, path in paths.items()}
    overall = {name: np.sqrt(np.mean(errors**2, axis=1)) for name, errors in by_dim.items()}
    shown = [each for each in SHOWN_STEPS if each <= real.shape[1]]
    return {
        "steps": real.shape[1],
        "starts": starts.inside.sum(axis=0).tolist(),
        "error": {name: plain(errors.tolist()) for name, errors in overall.items()},
        "break_even": {name: break_even(overall["model"], overall[name]) for name in ("persistence", "linear")},
        "shown_steps": shown,
        "error_by_dim": {name: plain([errors[each - 1].tolist() for each in shown]) for name, errors in by_dim.items()},
    }


def calibration_section(scores: Floats) -> dict[str, Any]:
    """Coverage of central intervals by level and column, from normal scores [N, O+1] (the reward last)."""
    coverage = central_coverage(scores)
    return {
        "rows": len(scores),
        "columns": [*(f"obs {dim}" for dim in range(scores.shape[1] - 1)), "reward"],
        "levels": list(LEVELS),
        "coverage": coverage.tolist(),
        "expected_calibration_error": expected_calibration_error(coverage),
        "error_by_column": [expected_calibration_error(column) for column in coverage.T],
    }


def with_scores(sample: Sample) -> NDArray[np.float32]:
    """[N, D+F] features, and beside them where each number fell in the model's own prediction."""
    return np.concatenate([sample.features, np.clip(sample.scores, -FARTHEST, FARTHEST)], axis=1)


def two_sample_section(evidence: Evidence, index: NDArray[np.int64], real: Sample, drawn: Sample) -> dict[str, Any]:
    """The test on transitions of held-out rows `index` [N], alone and with their scores; null with too few rows.

    The scores tell a classifier what the model expected, so that it need not learn the system before it can see small
    errors: it is then the sharper test.
    """
    fold = folds_of_rows(evidence.dataset.episode_of_row[evidence.holdout_rows[index]], FOLDS)
    pairs = {
        "transitions": (real.features, drawn.features),
        "with_scores": (with_scores(real), with_scores(drawn)),
    }
    found = {name: two_sample_test(one, other, fold, jax.random.key(0)) for name, (one, other) in pairs.items()}
    return {name: None if each is None else each._asdict() for name, each in found.items()}


def plain(value: Any) -> Any:
    """Numbers as JSON has them: None for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _open_loop(step: Any, params: Any, evidence: Evidence, starts: Starts) -> Floats:
    """[N, H, O] where a model goes from the starts by the logged actions, without the history it carries along."""
    run: Callable[..., Any] = jax.jit(partial(open_loop, step))
    obs, actions = evidence.holdout.obs[starts.rows], evidence.holdout.action[starts.ahead]
    return np.asarray(run(params, jax.random.key(0), obs, actions)[0])[..., : evidence.dataset.spec.obs_dim]


def _features(rows: Transition, obs_dim: int, *, with_reward: bool) -> Floats:
    """[N, D] obs, action, change and perhaps the reward. The change, not the next observation: where little changes
    the two look alike."""
    newest = newest_of(rows, obs_dim)
    parts = [rows.obs, rows.action, newest.next_obs - newest.obs, *([rows.reward[:, None]] if with_reward else [])]
    return np.concatenate([np.asarray(part) for part in parts], axis=1)


def _followed(evidence: Evidence) -> Starts:
    """Held-out rows with a context before them and a row after."""
    starts = starts_of(evidence, 2, SEQUENCE_ROWS, CONTEXT)
    kept = starts.inside[:, -1]
    return Starts(starts.rows[kept], starts.ahead[kept, :1], starts.inside[kept, :1])


def _windows_ending_at(rows: NDArray[np.int64], fitted: FittedSequence, evidence: Evidence) -> jax.Array:
    """[N, W, D] tokens of held-out `rows` [N] and of those before them, as far as context and window allow."""
    config = fitted.model.config
    length = min(CONTEXT + 1, config.window)
    tokens = encode_rows(fitted.params.discretiser, columns(log_of(evidence.dataset, evidence.holdout_rows), config))
    return jnp.asarray(tokens[rows[:, None] + np.arange(1 - length, 1)], jnp.int32)


def _drawn(run: RunDirectory, evidence: Evidence, starts: Starts, draws: int) -> Floats:
    """[draws, N, H, O] observations that a density model draws from the starts on, by the logged actions."""
    rows = evidence.holdout_rows
    stretches = stretches_from(evidence.dataset, rows[starts.rows], rows[starts.ahead], CONTEXT)
    return roll_model(run, stretches, stretches.actions, draws, jax.random.key(0))
