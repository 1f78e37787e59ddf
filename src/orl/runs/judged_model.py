"""What the learned model says of a candidate, bare and less the price of its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from orl.evaluation.ope.crossfit import CrossFit
from orl.evaluation.ope.fqe import FqeParams, values
from orl.evaluation.ope.intervals import difference, estimate
from orl.evaluation.ope.methods import MODEL, PENALISED
from orl.evaluation.ope.model_value import ModelValue, model_value, no_value, observed_range
from orl.evaluation.ope.panel import Found
from orl.mdp.member_step import make_member_step
from orl.runs.calibration import calibrate
from orl.runs.directory import RunDirectory, find_runs
from orl.runs.fit_model import KIND, FittedModel, load_model
from orl.runs.judged import Candidate
from orl.runs.judged_log import ROLLOUTS, JudgedLog
from orl.runs.model_supply import model_identity
from orl.types import ActFn, Array, Params, StepFn

COUNTS_FOR_NOTHING = 0.01  # weight, discount^steps, behind which rollouts are left to fitted Q
COMPARABLE_STEPS = 300  # episodes up to this length are rolled out to their end, undiscounted, whatever the discount


class Priced(NamedTuple):
    """A step whose rows each follow one elite, reporting an uncertainty of which a unit costs `coef` reward units."""

    step: StepFn
    coef: float


class ModelShelf:
    """Finds the model of each candidate, reads it once and prices it once.

    A candidate is judged in the copy in its own run folder; without one in the newest finished ensemble on the same
    data and history below `root`; else in the copy of another candidate.
    """

    def __init__(self, root: Path, candidates: Sequence[Candidate]) -> None:
        self._root, self._candidates = root, candidates
        self._read: dict[Path, FittedModel] = {}
        self._prices: dict[tuple[str | None, JudgedLog], Priced] = {}

    def of(self, candidate: Candidate) -> FittedModel | None:
        """The candidate's model, None if there is none anywhere."""
        path = self._path(candidate)
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = load_model(path)
        return self._read[path]

    def priced(self, fitted: FittedModel, log: JudgedLog) -> Priced:
        """The model's step, with the penalty that covers its error on a share of the held-out rows.

        Raises:
            DataError: no penalty does.
        """
        key = model_identity(fitted), log
        if key not in self._prices:
            log.reporter.message(f"calibrating the penalty of {fitted.path} on held-out episodes")
            share = log.settings.penalty_share
            chosen = calibrate(log.dataset, fitted, discount=log.discount, share=share).chosen
            step = make_member_step(fitted.ensemble, fitted.termination, chosen.uncertainty, chosen.units)
            self._prices[key] = Priced(step, chosen.penalty_coef)
        return self._prices[key]

    def _path(self, candidate: Candidate) -> Path | None:
        own = candidate.run.path / "model"
        if (own / "run.json").exists():
            return own
        fits = [run for run in find_runs(self._root) if _is_model_of(run, candidate.run)]
        if fits:
            return max(fits, key=lambda run: (run.path / "run.json").stat().st_mtime).path
        others = (other.run.path / "model" for other in self._candidates if _alike(other.run, candidate.run))
        return next((path for path in others if (path / "run.json").exists()), None)


def in_model(candidate: Candidate, log: JudgedLog, model: FittedModel, price: Priced, fit: CrossFit) -> list[Found]:
    """The model's value of a candidate, bare and penalised, from logged first observations on.

    Behind the horizon the members of the candidate's cross-fit say what follows. The bare value is as uncertain as its
    elites differ. The penalty is a price for the same error of the model, so the penalised value's interval is over
    episodes alone: to charge for the elites' differences as well would be to charge twice.
    """
    starts = start_episodes(log)
    rolled = roll(candidate, log, model, price, starts, horizon_of(log), log.discount, fit.params)
    returns = log.baseline.mean(axis=0)[starts]
    detail = {
        "starts": float(len(starts)),
        "horizon": float(horizon_of(log)),
        "alive": float(np.mean(rolled.alive)),
        "uncertainty": float(np.mean(rolled.uncertainty)),
        "penalty_coef": price.coef,
    }
    plain, penalised = (np.asarray(x, np.float64) for x in (rolled.plain, rolled.penalised))
    seed = log.settings.seed
    return [
        Found(estimate(name, told, detail=detail, seed=seed), difference(name, told, returns, seed=seed))
        for name, told in ((MODEL, plain), (PENALISED, penalised.mean(axis=0)))
    ]


def undiscounted_in_model(
    candidate: Candidate, log: JudgedLog, model: FittedModel, price: Priced
) -> dict[str, float] | None:
    """Mean undiscounted return of the behaviour and of the candidate in the model, bare and penalised.

    None where it could not be compared: episodes were cut at different lengths, or are longer than rollouts and than
    `COMPARABLE_STEPS`.
    """
    steps = int(log.episodes.lengths.max())
    cut = log.episodes.lengths[log.episodes.cut]
    if steps > max(horizon_of(log), COMPARABLE_STEPS) or np.any(cut != steps):
        return None
    rolled = roll(candidate, log, model, price, start_episodes(log), steps, 1.0, None)
    plain, penalised = (float(np.mean(np.asarray(x, np.float64))) for x in (rolled.plain, rolled.penalised))
    return {"behaviour": float(log.dataset.returns.mean()), MODEL: plain, PENALISED: penalised}


def roll(
    candidate: Candidate,
    log: JudgedLog,
    model: FittedModel,
    price: Priced,
    starts: np.ndarray,
    horizon: int,
    discount: float,
    tail: FqeParams | None,
) -> ModelValue:
    """The candidate's rollouts from the first observations of the episodes `starts` [N]."""
    rows, reward = log.episodes.rows, log.episodes.reward
    starts_obs = rows.obs[log.episodes.starts[starts]]
    return _roll(
        price.step,
        candidate.act,
        model.params,
        candidate.params,
        tail,
        log.key(ROLLOUTS),
        starts_obs,
        members=model.ensemble.config.elites,
        horizon=horizon,
        discount=discount,
        penalty=price.coef,
        rewards=(float(reward.min()), float(reward.max())),
        observations=observed_range(rows.obs),
    )


@partial(jax.jit, static_argnums=(0, 1), static_argnames=("members", "horizon"))
def _roll(
    step: StepFn,
    act: ActFn,
    model: Params,
    policy: Params,
    tail: FqeParams | None,
    key: Array,
    starts: Array,
    **options: Any,
) -> ModelValue:
    """`model_value`, with the mean of the fitted Qs behind the horizon, or nothing."""

    def value(fit: FqeParams, obs: Array) -> Array:
        return jnp.mean(values(fit, act, policy, obs), axis=0)

    beyond = no_value if tail is None else value
    return model_value(step, act, beyond, model, policy, tail, key, starts, **options)


def start_episodes(log: JudgedLog) -> np.ndarray:
    """[N] the episodes whose first observations the model is rolled out from, spread evenly over the log."""
    count = len(log.episodes)
    return np.unique(np.linspace(0, count - 1, min(count, log.settings.model_starts)).astype(np.int64))


def horizon_of(log: JudgedLog) -> int:
    """Steps of rollouts: as set, or the longest episode's unless what comes late counts for nothing."""
    if log.settings.model_horizon:
        return log.settings.model_horizon
    relevant = int(np.ceil(np.log(COUNTS_FOR_NOTHING) / np.log(log.discount)))
    return min(int(log.episodes.lengths.max()), relevant)


def _is_model_of(run: RunDirectory, policy: RunDirectory) -> bool:
    """Whether a run is a finished ensemble of a policy's data and history."""
    return run.record["kind"] == KIND and run.finished and _alike(run, policy)


def _alike(one: RunDirectory, other: RunDirectory) -> bool:
    same = one.record.get("fingerprint") == other.record["fingerprint"]
    return same and one.history == other.history
