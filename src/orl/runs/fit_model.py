"""`orl fit-model`: from a dataset to a fitted ensemble in a run folder."""

from __future__ import annotations

import time
from dataclasses import replace
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
from orl.runs.divergence import OnDivergence, lowered, with_rollback
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
    on_divergence: OnDivergence = "stop",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Fit an ensemble and return the JSON document of `orl fit-model`; goes on where an earlier call stopped.

    Args:
        on_divergence: "rollback" goes back to the last good checkpoint, and on at a tenth of the learning rate, once.

    Raises:
        UsageError: the folder holds another run, is in use or cannot be written to, or the memory is too small.
        DivergedError: something was not finite. Interrupted: SIGINT or SIGTERM came; the same call goes on from the
        checkpoint.
    """
    reporter, dataset = reporter or Reporter(), with_history(dataset, config.history)
    began = time.perf_counter()
    ensemble, termination = ensemble_for(config.model, dataset)
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)
    plan = ensemble_plan(dataset, config) if force or not is_finished(path) else None
    if plan is not None:
        plan.refuse_if_too_large()
    details = run_details(dataset, presets or []) | {"seeds": [config.seed], "termination": termination}
    with claimed(path, plan is not None):
        run = open_run(path, KIND, config, dataset_identity(dataset), details, force=force)
        if plan is not None and not run.finished:
            with plan.explained():
                result = _fit(run, dataset, config, ensemble, on_divergence, reporter)
            run.update(status="finished", result=result, seconds=time.perf_counter() - began)
    return fit_document(run, termination=run.record["termination"], history=config.history)


def _fit(
    run: RunDirectory,
    dataset: Dataset,
    config: FitRunConfig,
    ensemble: Ensemble,
    on_divergence: OnDivergence,
    reporter: Reporter,
) -> dict[str, Any]:
    """Fit what is left to fit, and judge it: the result for run.json."""
    data = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
    fresh = fresh_params(ensemble, model_keys(config.seed)[0], data.train)
    sides = fit_data(fresh, data.train), fit_data(fresh, data.holdout)
    holdout, starts = data.holdout, data.holdout_starts
    del data  # the training rows are in the network's units from here on: no second copy through the epochs
    largest = float(np.abs(dataset.reward).max())

    def go_on(scale: float) -> FitState:
        used = replace(ensemble, config=lowered(ensemble.config, scale))
        fit = _epochs_of(used, lowered(config, scale), sides, largest)
        return run_epochs(run, fit, init_fit(used, fresh), reporter)

    state = with_rollback(run, on_divergence, CHECKPOINT_EPOCHS, reporter, go_on)
    params = finish_fit(ensemble, state)
    reporter.message("judging the model on held-out episodes")
    report = holdout_report(ensemble, params, holdout, starts)
    return {"holdout": report, "elites": np.asarray(params.elites).tolist(), "epochs": int(state.epoch)}


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


def _epochs_of(ensemble: Ensemble, config: FitRunConfig, sides: tuple[FitData, FitData], largest: float) -> Fit:
    """Epochs until no member improves."""
    model, rows = config.model, sides[0].targets.shape[0]
    _, root = model_keys(config.seed)
    epoch_fn = compiled_epoch(ensemble)
    return Fit(
        title="fitting the ensemble",
        total=model.max_epochs,
        updates=rows // min(model.batch_size, rows),
        config=config,
        epoch=lambda state: epoch_fn(state, root, *sides),
        done=lambda state: int(state.stale) >= model.patience,
        items=lambda state: {"state": state, "model": finish_fit(ensemble, state)},
        shown=lambda row: {"held-out mse": row["holdout_mse"], "best": row["best_mse"]},
        largest_reward=largest,
        checkpoint_every=CHECKPOINT_EPOCHS,
    )


CHECKPOINT_EPOCHS = 10
