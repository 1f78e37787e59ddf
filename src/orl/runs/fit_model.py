"""`orl fit-model`: from a dataset to a fitted ensemble in a run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from orl.config import Preset, build
from orl.data.episodes import Dataset
from orl.data.normalise import fit_normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import FitState, finish_fit, fit_data, init_fit, make_epoch, targets_of
from orl.dynamics.report import holdout_report
from orl.dynamics.termination_rules import rule
from orl.runs.checkpoints import read_latest
from orl.runs.config import FitRunConfig
from orl.runs.directory import RunDirectory, config_tree, load_run, open_run
from orl.runs.epochs import Fit, run_epochs
from orl.runs.fits import fit_document
from orl.runs.loading import LoadedData, load_split
from orl.runs.record import dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.runs.seeds import model_keys
from orl.types import Transition

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
        UsageError: the folder holds another run. DivergedError: a loss became non-finite.
        Interrupted: SIGINT or SIGTERM came; the same call goes on from the checkpoint.
    """
    reporter = reporter or Reporter()
    began = time.perf_counter()
    termination = resolve_termination(config.model, dataset)
    details = run_details(dataset, presets or []) | {"seeds": [config.seed], "termination": termination}
    run = open_run(path, KIND, config, dataset_identity(dataset), details, force=force)
    if not run.finished:
        data = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
        ensemble, state = _initial_state(config, data.train, termination)
        state = _run_epochs(run, ensemble, state, config, data, reporter)
        params = finish_fit(ensemble, state)
        reporter.message("judging the model on held-out episodes")
        report = holdout_report(ensemble, params, data.holdout, data.holdout_starts)
        result = {"holdout": report, "elites": np.asarray(params.elites).tolist(), "epochs": int(state.epoch)}
        run.update(status="finished", result=result, seconds=time.perf_counter() - began)
    return fit_document(run, termination=run.record["termination"])


def resolve_termination(config: EnsembleConfig, dataset: Dataset) -> str:
    """The rule to use: "auto" means a learned head where the data has true ends, else never."""
    if config.termination == "auto":
        return "learned" if dataset.terminated.any() else "never"
    if config.termination not in ("learned", "never"):
        rule(config.termination)  # an unknown name is the user's error, best raised before anything is written
    return config.termination


def load_model(path: str | Path) -> FittedModel:
    """The fitted ensemble in a run folder (or the copy inside a policy's run folder).

    Raises:
        DataError: not a finished fit.
    """
    run = load_run(Path(path), KIND)
    config = build(FitRunConfig, config_tree(run.path))
    sizes = run.record["dataset"]
    ensemble = Ensemble(config.model, sizes["obs_dim"], sizes["action_dim"], run.record["termination"] == "learned")
    template = jax.eval_shape(lambda: _fresh_params(ensemble, jax.random.key(0), None))
    _, items = read_latest(run.checkpoints, model=template)
    return FittedModel(ensemble, items["model"], run.record["termination"], run.path)


def _initial_state(config: FitRunConfig, train: Transition, termination: str) -> tuple[Ensemble, FitState]:
    obs_dim, action_dim = train.obs.shape[1], train.action.shape[1]
    ensemble = Ensemble(config.model, obs_dim, action_dim, termination == "learned")
    return ensemble, init_fit(ensemble, _fresh_params(ensemble, model_keys(config.seed)[0], train))


def _fresh_params(ensemble: Ensemble, key: jax.Array, train: Transition | None) -> EnsembleParams:
    """Parameters before the fit; without rows (only the shapes are wanted) the normalisers are the identity."""
    inputs = identity_normaliser(ensemble.obs_dim + ensemble.action_dim)
    targets = outputs = identity_normaliser(ensemble.out_dim)
    if train is not None:
        inputs = fit_normaliser(np.concatenate([train.obs, train.action], axis=-1))
        outputs = fit_normaliser(np.concatenate([train.next_obs, train.reward[:, None]], axis=-1))
        if ensemble.config.standardise_targets:
            targets = fit_normaliser(np.asarray(targets_of(train)))
    return ensemble.init(key, inputs, targets, outputs)


def _run_epochs(
    run: RunDirectory, ensemble: Ensemble, state: FitState, config: FitRunConfig, data: LoadedData, reporter: Reporter
) -> FitState:
    """Epochs until no member improves."""
    model = config.model
    train, holdout = fit_data(state.params, data.train), fit_data(state.params, data.holdout)
    _, root = model_keys(config.seed)
    epoch_fn = jax.jit(make_epoch(ensemble), donate_argnums=0)
    fit = Fit(
        title="fitting the ensemble",
        total=model.max_epochs,
        epoch=lambda state: epoch_fn(state, root, train, holdout),
        done=lambda state: int(state.stale) >= model.patience,
        items=lambda state: {"state": state, "model": finish_fit(ensemble, state)},
        shown=lambda row: {"held-out mse": row["holdout_mse"], "best": row["best_mse"]},
        advice="try a lower model.learning_rate or --set model.standardise_targets=true",
        checkpoint_every=CHECKPOINT_EPOCHS,
    )
    return run_epochs(run, fit, state, reporter)


CHECKPOINT_EPOCHS = 10
