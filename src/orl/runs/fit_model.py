"""`orl fit-model`: from a dataset to a fitted ensemble in a run folder."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orl.config import Preset, build
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import FitData, FitState, compiled_epoch, finish_fit, fit_data, init_fit
from orl.dynamics.report import holdout_report
from orl.runs.checkpoints import read_latest
from orl.runs.claim import claimed
from orl.runs.config import FitRunConfig
from orl.runs.directory import RunDirectory, check_folder, is_finished, load_run, open_run, settings_of
from orl.runs.ensembles import ensemble_for, fresh_params, params_template
from orl.runs.epochs import Fit, run_epochs
from orl.runs.fits import fit_document
from orl.runs.loading import load_split
from orl.runs.memory_needs import ensemble_plan
from orl.runs.record import dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.runs.seeds import model_keys

KIND = "ensemble"


class FittedModel(NamedTuple):
    """A model read from its run folder: its shape, its parameters and the termination rule it goes with."""

    ensemble: Ensemble
    params: EnsembleParams
    termination: str
    path: Path


def fit_model(
    dataset: Dataset,
    config: FitRunConfig,
    path: Path,
    *,
    presets: list[Preset] | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Fit an ensemble and return the JSON document of `orl fit-model`; goes on where an earlier call stopped.

    Raises:
        UsageError: the folder holds another run, is in use or cannot be written to, or the memory is too small.
        DivergedError: a loss became non-finite. Interrupted: SIGINT or SIGTERM came; the same call goes on from the
        checkpoint.
    """
    reporter, dataset = reporter or Reporter(), with_history(dataset, config.history)
    began = time.perf_counter()
    ensemble, termination = ensemble_for(config.model, dataset)
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)
    work = force or not is_finished(path)
    if work:
        ensemble_plan(dataset, config).refuse_if_too_large()
    details = run_details(dataset, presets or []) | {"seeds": [config.seed], "termination": termination}
    with claimed(path, work):
        run = open_run(path, KIND, config, dataset_identity(dataset), details, force=force)
        if not run.finished:
            result = _fit_and_judge(run, ensemble, dataset, config, reporter)
            run.update(status="finished", result=result, seconds=time.perf_counter() - began)
    return fit_document(run, termination=run.record["termination"], history=config.history)


def load_model(path: str | Path) -> FittedModel:
    """The fitted ensemble in a run folder (or the copy inside a policy's run folder).

    Raises:
        DataError: not a finished fit.
    """
    run = load_run(Path(path), KIND)
    config = settings_of(run.path, partial(build, FitRunConfig))
    sizes = run.record["dataset"]
    learned = run.record["termination"] == "learned"
    ensemble = Ensemble(config.model, sizes["obs_dim"], sizes["action_dim"], learned, config.history)
    _, items = read_latest(run.checkpoints, model=params_template(ensemble))
    return FittedModel(ensemble, items["model"], run.record["termination"], run.path)


def _fit_and_judge(
    run: RunDirectory, ensemble: Ensemble, dataset: Dataset, config: FitRunConfig, reporter: Reporter
) -> dict[str, Any]:
    """What the run's record says of the finished fit."""
    data = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
    state = init_fit(ensemble, fresh_params(ensemble, model_keys(config.seed)[0], data.train))
    sides = fit_data(state.params, data.train), fit_data(state.params, data.holdout)
    holdout, starts = data.holdout, data.holdout_starts
    del data  # the training rows are in the network's units from here on: no second copy through the epochs
    state = _run_epochs(run, ensemble, state, config, sides, reporter)
    params = finish_fit(ensemble, state)
    reporter.message("judging the model on held-out episodes")
    report = holdout_report(ensemble, params, holdout, starts)
    return {"holdout": report, "elites": np.asarray(params.elites).tolist(), "epochs": int(state.epoch)}


def _run_epochs(
    run: RunDirectory,
    ensemble: Ensemble,
    state: FitState,
    config: FitRunConfig,
    sides: tuple[FitData, FitData],
    reporter: Reporter,
) -> FitState:
    """Epochs until no member improves."""
    model = config.model
    _, root = model_keys(config.seed)
    epoch_fn = compiled_epoch(ensemble)
    fit = Fit(
        title="fitting the ensemble",
        total=model.max_epochs,
        epoch=lambda state: epoch_fn(state, root, *sides),
        done=lambda state: int(state.stale) >= model.patience,
        items=lambda state: {"state": state, "model": finish_fit(ensemble, state)},
        shown=lambda row: {"held-out mse": row["holdout_mse"], "best": row["best_mse"]},
        advice="try a lower model.learning_rate or --set model.standardise_targets=true",
        checkpoint_every=CHECKPOINT_EPOCHS,
    )
    return run_epochs(run, fit, state, reporter)


CHECKPOINT_EPOCHS = 10
