"""What MOPO's theorems promise a policy run, and how far its rollouts leave the data."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.errors import UsageError
from orl.evaluation.diagnosis.errors import judge
from orl.evaluation.diagnosis.neighbours import nearest_distance
from orl.evaluation.diagnosis.policy_rollouts import (
    Visits,
    behaviour_sums,
    outside_by_step,
    outside_share,
    policy_visits,
)
from orl.evaluation.diagnosis.theorem import guarantee
from orl.mdp.step import make_step
from orl.runs.diagnosis_data import Evidence
from orl.runs.diagnosis_model import plain
from orl.runs.diagnosis_uncertainty import Chosen, Distances, standardised_pairs
from orl.runs.directory import RunDirectory
from orl.runs.fit_model import FittedModel
from orl.runs.policy import rebuild, stacked_params
from orl.runs.stretches import evenly
from orl.types import ActFn, Params

DISCOUNT = 0.99  # for a model or a policy that knows none
MODEL_STEPS = 50_000  # of a policy's rollouts, all members asked at each
MOST_STARTS, FEWEST_STARTS = 256, 8
NEGLIGIBLE = 1e-3  # discount^H at which a rollout ends: what would follow weighs no more
VISITED_ROWS = 4000  # of the policy's rollouts, whose distance from the data is taken


class Penalty(NamedTuple):
    """lambda and the u that it multiplies; `source` says whose they are ("run" or "calibrated").

    needed: the lambda with which this u covers the model's errors on the stated share of held-out rows. The theorems
    say nothing of a smaller one.
    """

    source: str
    coef: float
    uncertainty: str
    units: str
    needed: float | None


class Episodes(NamedTuple):
    """Held-out stretches to roll from: `start` [B, W], how many steps each may take, [B], and the most of them."""

    start: NDArray[np.float32]
    limit: NDArray[np.int64]
    horizon: int


class Ground(NamedTuple):
    """What every policy of a run is judged on.

    Attributes:
        value: of the behaviour. penalties: lambdas and their u. behaviour: eps_u of the behaviour, for each of them.
    """

    fitted: FittedModel
    episodes: Episodes
    known: Distances
    discount: float
    value: float
    penalties: list[Penalty]
    behaviour: list[float]


def penalties_of(agent: Any, chosen: Chosen | None) -> list[Penalty]:
    """The penalty that a policy was trained with, if its algorithm has one, and the one that held-out rows call for."""
    table = [] if chosen is None else chosen.calibration.table
    needed = {(each.uncertainty, each.units): each.penalty_coef for each in table}
    found = []
    if hasattr(agent, "penalty_coef") and hasattr(agent, "uncertainty_units"):
        which = agent.uncertainty, agent.uncertainty_units
        found.append(Penalty("run", agent.penalty_coef, *which, plain(needed.get(which, math.nan))))
    if chosen is not None:
        best = chosen.calibration.chosen
        found.append(Penalty("calibrated", best.penalty_coef, best.uncertainty, best.units, best.penalty_coef))
    return found


def discount_of(run: RunDirectory, given: float | None) -> float:
    """The discount a policy was trained with, or the one given, or DISCOUNT for those that know none.

    Raises:
        UsageError: the one given contradicts the run's.
    """
    own = getattr(rebuild(run)[1].agent, "discount", None)
    if own is not None and given is not None and not math.isclose(own, given):
        raise UsageError(f"--discount {given}: {run.path} was trained with a discount of {own}")
    return own or given or DISCOUNT


def diagnose_policy(
    run: RunDirectory,
    fitted: FittedModel,
    evidence: Evidence,
    known: Distances,
    chosen: Chosen | None,
    discount: float,
    seeds: list[int],
) -> dict[str, Any]:
    """The section `policy`: the theorems' terms and the share outside the data, of each of these seeds of the run."""
    algorithm, config = rebuild(run)
    penalties, value = penalties_of(config.agent, chosen), behaviour_value(evidence, discount)
    ground = Ground(
        fitted=fitted,
        episodes=episodes_of(evidence, discount),
        known=known,
        discount=discount,
        value=float(value.mean()),
        penalties=penalties,
        behaviour=[behaviour_uncertainty(fitted, evidence, each, discount) for each in penalties],
    )
    stacked, places = stacked_params(run), run.record["seeds"]
    policies = {seed: jax.tree.map(partial(_pick, places.index(seed)), stacked) for seed in seeds}
    lines = [{"seed": seed} | _judged(ground, algorithm.act, params) for seed, params in policies.items()]
    section = {
        "algorithm": config.algorithm,
        "discount": discount,
        "horizon": ground.episodes.horizon,
        "rollouts": len(ground.episodes.start),
        "behaviour_value": _mean(value),
        "behaviour_episodes": len(value),
        "outside_distance": known.threshold,
        "seeds": lines,
    }
    return dict(plain(section))


def episodes_of(evidence: Evidence, discount: float) -> Episodes:
    """Starts of held-out stretches, repeated until the rollouts suffice for a mean.

    A stretch that was cut off is rolled for as long as it was logged, for so long its return is known. One that truly
    ended may be outlived, up to the environment's time limit or the longest logged episode.
    """
    data, first = evidence.dataset, np.unique(evidence.first)
    last = evidence.last[first]
    longest = data.max_episode_steps or int(data.lengths.max())
    horizon = min(longest, math.ceil(math.log(NEGLIGIBLE) / math.log(discount)))
    ended = np.asarray(evidence.holdout.terminated)[last] > 0.5
    limit = np.where(ended, horizon, np.minimum(last - first + 1, horizon))
    rollouts = min(max(MODEL_STEPS // horizon, FEWEST_STARTS), MOST_STARTS)
    taken = np.resize(evenly(len(first), rollouts), rollouts)
    return Episodes(np.asarray(evidence.holdout.obs)[first[taken]], limit[taken], int(limit.max()))


def behaviour_value(evidence: Evidence, discount: float) -> NDArray[np.float64]:
    """[E] discounted return of each held-out stretch."""
    return behaviour_sums(np.asarray(evidence.holdout.reward), evidence.first, evidence.last, discount)


def behaviour_uncertainty(fitted: FittedModel, evidence: Evidence, penalty: Penalty, discount: float) -> float:
    """eps_u of the behaviour: the mean over held-out stretches of the discounted sum of u."""
    u = judge(fitted.ensemble, fitted.params, evidence.holdout, penalty.units).uncertainty[penalty.uncertainty]
    return float(behaviour_sums(u, evidence.first, evidence.last, discount).mean())


def _judged(ground: Ground, act: ActFn, params: Params) -> dict[str, Any]:
    """A policy's value in the model, its guarantees by lambda, and how much of its rollouts lies outside the data."""
    measured: list[Penalty | None] = [*ground.penalties] or [None]
    visits = [_visit(ground, act, params, each) for each in measured]
    promised = float(visits[0].value.mean() - ground.value)
    guarantees = []
    for penalty, visit, behaviour in zip(ground.penalties, visits, ground.behaviour, strict=False):
        unsure = float(visit.uncertainty.mean())
        terms = guarantee(penalty.coef, penalty.needed, promised, unsure, behaviour)
        sums = {"policy_uncertainty": unsure, "behaviour_uncertainty": behaviour}
        guarantees.append(penalty._asdict() | sums | terms._asdict())
    step, far = _distances_of(ground, visits[0])
    return {
        "model_value": _mean(visits[0].value),
        "promised_gain": promised,
        "guarantees": guarantees,
        "outside": outside_share(far, ground.known.threshold),
        "outside_by_step": [each._asdict() for each in outside_by_step(step, far, ground.known.threshold)],
        "visited_rows": len(far),
    }


def _visit(ground: Ground, act: ActFn, params: Params, penalty: Penalty | None) -> Visits:
    """The policy in the model, its u measured as the penalty says."""
    fitted, measure = ground.fitted, (penalty.uncertainty, penalty.units) if penalty else ()
    step = make_step(fitted.ensemble, fitted.termination, *measure)
    return policy_visits(step, act, fitted.params, params, *ground.episodes, ground.discount)


def _distances_of(ground: Ground, visits: Visits) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(step from 1, distance from the training data) of at most VISITED_ROWS rows that a policy visited."""
    step, row = np.nonzero(visits.alive)
    taken = evenly(len(step), VISITED_ROWS)
    step, row = step[taken], row[taken]
    pairs = standardised_pairs(ground.fitted, visits.obs[step, row], visits.action[step, row])
    return step + 1, nearest_distance(ground.known.train, pairs)


def _pick(index: int, leaf: jax.Array) -> jax.Array:
    return leaf[index]


def _mean(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean of independent values and its standard error (0 of a single one)."""
    count = len(values)
    return {"mean": float(values.mean()), "error": float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else 0.0}
