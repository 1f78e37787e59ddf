"""What `orl export` exports: one seed's policy of a run, and what tells it familiar inputs from others."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.deployment.description import Description, describe, detector_of
from orl.deployment.familiarity import calibrated
from orl.deployment.reference import Familiar
from orl.dynamics.config import EnsembleConfig
from orl.errors import DataError, UsageError
from orl.evaluation.diagnosis.errors import judge
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import RunDirectory, load_run
from orl.runs.fit_model import load_model
from orl.runs.loading import transitions
from orl.runs.model_supply import check_model, refuse_other_history
from orl.runs.policy import KIND, rebuild, run_spec, stacked_params
from orl.runs.stretches import evenly
from orl.types import ActFn, Params, Spec, Transition

MOST_ROWS = 20_000  # held-out rows that a file is tried on, evenly spread over all of them
DISAGREEMENT = "max_pairwise"  # what `deployment.reference.disagreement` computes


class Subject(NamedTuple):
    """One policy: how it acts, of which run, seed and checkpoint. `is_last`: it is the one at the end of training."""

    run: RunDirectory
    config: PolicyRunConfig
    seed: int
    checkpoint: str
    is_last: bool
    act: ActFn
    params: Params
    spec: Spec


class Familiarity(NamedTuple):
    """What makes the flag, the `model` it is of and the `rows` that calibrated it; or `missing`: why there is none."""

    familiar: Familiar | None = None
    model: Path | None = None
    rows: int = 0
    missing: str | None = None


def open_subject(path: Path, seed: int | None, checkpoint: str) -> Subject:
    """The policy of a run folder that is to be exported; the run's first seed by default.

    Raises:
        DataError: not a policy's run folder, or without a checkpoint. UsageError: a planner or a model, which cannot be
            exported, or no such seed or checkpoint.
    """
    run = load_run(path)
    kind = run.record["kind"]
    if kind == "plan":
        raise UsageError(
            f"{path} plans: it searches anew at every step; only policies of `orl train-policy` can be exported"
        )
    if kind != KIND:
        raise UsageError(
            f"{path} holds a model ({kind}) and no policy; only policies of `orl train-policy` can be exported"
        )
    algorithm, config = rebuild(run)
    if seed is not None and seed not in config.seeds:
        raise UsageError(f"{path} holds the seeds {list(config.seeds)}, not {seed}")
    index = 0 if seed is None else config.seeds.index(seed)
    last, chosen = (
        jax.tree.map(lambda leaf: leaf[index], stacked_params(run, which)) for which in ("last", checkpoint)
    )
    pairs = zip(jax.tree.leaves(last), jax.tree.leaves(chosen), strict=True)
    is_last = all(np.array_equal(one, other) for one, other in pairs)
    return Subject(run, config, config.seeds[index], checkpoint, is_last, algorithm.act, chosen, run_spec(run))


def model_of(subject: Subject, model: Path | None) -> Path | None:
    """The folder of the ensemble that makes the flag: the one named, else the run's own copy, else None.

    Raises:
        UsageError, DataError: the one named is of another history, of other data, or no finished ensemble.
    """
    own = subject.run.path / "model"
    path = model or (own if (own / "run.json").is_file() else None)
    if path is None:
        return None
    refuse_other_history(path, subject.spec.history)
    fitted, trained = load_run(path).record.get("fingerprint"), subject.run.record["fingerprint"]
    if fitted != trained:
        raise DataError(f"{path} was fitted to other data than {subject.run.path} was trained on (fingerprints differ)")
    return path


def held_out(dataset: Dataset, settings: EnsembleConfig, history: int) -> tuple[Transition, NDArray[np.int64]]:
    """Rows held out of what was trained with these settings, at most MOST_ROWS, and the episode of each [N]."""
    data = with_history(dataset, history)
    rows = split_by_episode(data, settings.holdout_fraction, SPLIT_SEED, settings.holdout_max_rows).holdout_rows
    kept = rows[evenly(len(rows), MOST_ROWS)]
    return transitions(data, kept), data.episode_of_row[kept]


def familiarity(dataset: Dataset, path: Path | None, quantile: float) -> Familiarity:
    """The flag of the ensemble in `path`, calibrated on the logged rows that were held out of its own fit.

    Raises:
        UsageError: the quantile is out of range, or too high for so few rows. DataError: the model's predictions are
            not finite.
    """
    if path is None:
        return Familiarity(missing="the run has no model; name a fitted ensemble with --model to have one")
    check_model(dataset, path, "ensemble")
    fitted = load_model(path)
    rows, _ = held_out(dataset, fitted.ensemble.config, fitted.ensemble.history)
    judged = judge(fitted.ensemble, fitted.params, rows, "standardised")
    unsure = judged.uncertainty[DISAGREEMENT]
    if not (np.isfinite(unsure).all() and np.isfinite(judged.next_obs).all()):
        raise DataError(f"{path} predicts numbers that are not finite on held-out rows; fit the model again")
    found = calibrated(unsure, judged.next_obs, quantile)
    if found is None:
        return Familiarity(model=path, missing=f"the members of {path} do not disagree, as a single one cannot")
    return Familiarity(Familiar(fitted.ensemble, fitted.params, *found), path, len(unsure))


def description_of(subject: Subject, familiar: Familiar | None) -> Description:
    """The arrays of the policy and its detector; raises UsageError where the policy is no perceptron."""
    spec, detector = subject.spec, None
    if familiar is not None:
        detector = detector_of(familiar.params, spec.obs_dim, familiar.factor, familiar.threshold)
    return describe(subject.params, spec, detector)
