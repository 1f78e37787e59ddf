"""The judgement of one candidate: fitted Q, its corrections, importance sampling and the model."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.errors import DataError
from orl.evaluation.ope.baseline import tail_weight
from orl.evaluation.ope.behaviour import action_distance
from orl.evaluation.ope.crossfit import CrossFit, crossfit_fqe, diagnose_crossfit
from orl.evaluation.ope.fqe import policy_actions
from orl.evaluation.ope.importance import cumulative_log_weights, effective_episodes, smoothed_log_ratio
from orl.evaluation.ope.methods import MODEL, PENALISED
from orl.evaluation.ope.panel import (
    Found,
    behaviour_estimate,
    corrected_q,
    fitted_q,
    importance_sampling,
)
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import Support
from orl.runs.fit_model import FittedModel
from orl.runs.judged import Candidate
from orl.runs.judged_log import Q_FITS, JudgedLog
from orl.runs.judged_model import ModelShelf, in_model, undiscounted_in_model

NO_MODEL = "no model of this data and history was found; `orl fit-model` fits one"


class ModelWord(NamedTuple):
    """What the model contributes: estimates, undiscounted returns if they can be compared, or why there is nothing."""

    found: list[Found]
    undiscounted: dict[str, float] | None = None
    missing: str | None = None


def judge_candidate(
    candidate: Candidate, log: JudgedLog, model: FittedModel | None, models: ModelShelf
) -> dict[str, Any]:
    """All that is estimated of a candidate, as the plain values of its JSON document."""
    episodes, discount, settings = log.episodes, log.discount, log.settings
    act, policy, seed = candidate.act, candidate.params, settings.seed
    log.reporter.message(f"{candidate.label}: fitted Q evaluation on {len(episodes)} episodes")
    key, folds = log.key(Q_FITS), settings.folds
    fit = crossfit_fqe(settings.fqe, act, policy, episodes, discount, key, folds=folds, seed=seed)
    health = health_of(fit, candidate, log)
    own = policy_actions(act, policy, episodes.rows.obs)
    ratio = log.of_row(smoothed_log_ratio(log.behaviour, episodes.rows.obs, episodes.rows.action, own))
    word = ask_model(candidate, log, model, models, fit)
    found = [
        fitted_q(fit, log.baseline, health, seed),
        *corrected_q(fit, ratio, log.baseline, episodes, discount, seed),
        *importance_sampling(ratio, fit.final.mean(axis=0), log.baseline, episodes, discount, seed),
        *word.found,
    ]
    effective = effective_episodes(cumulative_log_weights(ratio, episodes), discount)
    support = Support(effective, len(episodes), far_share(log, own), health["diverged"] > 0.0)
    return {
        "algorithm": candidate.config.algorithm,
        "discount": discount,
        "history": candidate.config.history,
        "model": None if model is None else str(model.path),
        "behaviour": behaviour_document(log),
        "estimates": {each.value.method: found_document(each) for each in found},
        "undiscounted": word.undiscounted,
        "left_out": {} if word.missing is None else dict.fromkeys((MODEL, PENALISED), word.missing),
        "support": support._asdict(),
    }


def ask_model(
    candidate: Candidate, log: JudgedLog, model: FittedModel | None, models: ModelShelf, fit: CrossFit
) -> ModelWord:
    """The model's estimates, or why there are none."""
    if model is None:
        return ModelWord([], missing=NO_MODEL)
    try:
        price = models.priced(model, log)
    except DataError as error:
        return ModelWord([], missing=str(error))
    log.reporter.message(f"{candidate.label}: rollouts in {model.path}")
    return ModelWord(in_model(candidate, log, model, price, fit), undiscounted_in_model(candidate, log, model, price))


def health_of(fit: CrossFit, candidate: Candidate, log: JudgedLog) -> dict[str, float]:
    """Held-out Bellman errors, averaged over members, and whether any diverged (1 or 0)."""
    found = diagnose_crossfit(fit, candidate.act, candidate.params, log.episodes, log.discount)
    rms, bias = (float(np.nanmean(x)) for x in (found.bellman_rms, found.bellman_bias))
    return {"bellman_rms": rms, "bellman_bias": bias, "diverged": float(found.diverged)}


def far_share(log: JudgedLog, action: jax.Array) -> float:
    """Share of logged states in which these actions [N, A] are farther from the behaviour's than nearly all logged."""
    distance: NDArray[np.float64] = log.of_row(action_distance(log.behaviour, log.episodes.rows.obs, action))
    return float(np.mean(distance > log.usual_distance))


def behaviour_document(log: JudgedLog) -> dict[str, Any]:
    """What the behaviour earned: completed, as logged, and undiscounted."""
    value = behaviour_estimate(log.baseline, log.fold, log.settings.seed)
    return interval_document(value) | {
        "logged": float(log.episodes.returns(log.discount).mean()),
        "undiscounted": float(log.dataset.returns.mean()),
        "spread": log.scale.spread,
        "episodes": len(log.episodes),
        "cut": int(log.episodes.cut.sum()),
        "tail_weight": tail_weight(log.episodes, log.discount),
    }


def found_document(found: Found) -> dict[str, Any]:
    """One method's estimate, its difference to the behaviour, and its further numbers."""
    improvement = interval_document(found.improvement) | {"least": finite(found.improvement.least)}
    detail = {name: finite(value) for name, value in found.value.detail.items()}
    return interval_document(found.value) | {"improvement": improvement, "detail": detail}


def interval_document(estimate: Estimate) -> dict[str, float | None]:
    """Value and interval; None where a number does not exist."""
    return {"value": finite(estimate.value), "low": finite(estimate.low), "high": finite(estimate.high)}


def finite(value: float) -> float | None:
    """The number, or None where JSON has none."""
    return float(value) if math.isfinite(value) else None
