"""`orl fit-model`: from a dataset to a fitted ensemble in a run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from orl.config import Preset, as_tree, build
from orl.data.episodes import Dataset
from orl.data.normalise import fit_normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import FitData, FitState, finish_fit, fit_data, init_fit, make_epoch, targets_of
from orl.dynamics.report import holdout_report
from orl.dynamics.termination_rules import rule
from orl.errors import DivergedError, Interrupted
from orl.runs.checkpoints import Checkpoints, read_latest
from orl.runs.config import FitRunConfig
from orl.runs.directory import RunDirectory, config_tree, find_runs, load_run, open_run, slug, versions
from orl.runs.interrupt import stop_requested
from orl.runs.loading import LoadedData, load_split
from orl.runs.record import config_digest, dataset_identity, run_details
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


def default_model_path(root: Path, dataset: Dataset, config: FitRunConfig) -> Path:
    """Where the fit of these settings on this data goes unless told otherwise."""
    return root / slug(config.dataset) / f"ensemble-{config_digest(config, dataset.fingerprint)}"


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
    return document(run)


def document(run: RunDirectory) -> dict[str, Any]:
    """The JSON document of a finished fit."""
    record = run.record
    return {
        "schema": record["schema"],
        "run": str(run.path),
        "kind": KIND,
        "dataset": record["dataset"],
        "termination": record["termination"],
        "presets": record["presets"],
        "seconds": record["seconds"],
        "versions": versions(),
        **record["result"],
    }


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


def find_model(root: Path, dataset: Dataset, config: FitRunConfig) -> Path | None:
    """The folder of a finished fit of exactly these settings on exactly this data below `root`, if there is one."""
    wanted = as_tree(config) | {"dataset": ""}
    for run in find_runs(root):
        same_data = run.record.get("fingerprint") == dataset.fingerprint
        if run.record["kind"] != KIND or not run.finished or not same_data:
            continue
        if config_tree(run.path) | {"dataset": ""} == wanted:
            return run.path
    return None


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
    """Epochs until no member improves; a checkpoint at every tenth, at the end, and when a stop is asked for."""
    model = config.model
    checkpoints = Checkpoints(run.checkpoints)
    latest = checkpoints.latest()
    if latest is not None:
        state = checkpoints.restore(latest, state=state)["state"]
        reporter.message(f"going on from epoch {latest}")
    run.rewind(latest or 0)
    train, holdout = fit_data(state.params, data.train), fit_data(state.params, data.holdout)
    _, root = model_keys(config.seed)
    epoch_fn = jax.jit(make_epoch(ensemble), donate_argnums=0)
    reporter.start("fitting the ensemble", model.max_epochs, "epochs", latest or 0)
    with stop_requested() as stopping:
        for epoch in range((latest or 0) + 1, model.max_epochs + 1):
            if int(state.stale) >= model.patience:
                break
            state = _one_epoch(run, epoch_fn, state, root, train, holdout, epoch, reporter)
            done = int(state.stale) >= model.patience or epoch == model.max_epochs
            if done or stopping() or epoch % CHECKPOINT_EPOCHS == 0:
                checkpoints.save(epoch, {"state": state, "model": finish_fit(ensemble, state)})
            if stopping() and not done:
                checkpoints.close()
                run.update(status="interrupted")
                raise Interrupted(f"stopped at epoch {epoch}; the same command goes on from there")
    checkpoints.close()
    reporter.finish()
    return state


CHECKPOINT_EPOCHS = 10


def _one_epoch(
    run: RunDirectory,
    epoch_fn: Any,
    state: FitState,
    root: jax.Array,
    train: FitData,
    holdout: FitData,
    epoch: int,
    reporter: Reporter,
) -> FitState:
    started = time.perf_counter()
    state, metrics = epoch_fn(state, root, train, holdout)
    row: Mapping[str, float] = {key: float(value) for key, value in metrics.items()}
    if not all(np.isfinite(value) for value in row.values()):
        names = ", ".join(key for key, value in row.items() if not np.isfinite(value))
        run.update(status="diverged")
        raise DivergedError(
            f"the fit diverged in epoch {epoch}: {names} not finite; try a lower model.learning_rate"
            " or --set model.standardise_targets=true"
        )
    run.append("metrics.jsonl", {"step": epoch, **row})
    run.append("timings.jsonl", {"step": epoch, "seconds": time.perf_counter() - started})
    reporter.advance(epoch, {"held-out mse": row["holdout_mse"], "best": row["best_mse"]})
    return state
