"""`orl train-policy`: from a dataset (and a model) to policies in a run folder, all seeds in one program."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms import ALGORITHMS
from orl.config import Preset, as_tree, build
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.data.normalise import fit_normaliser, identity_normaliser
from orl.errors import Interrupted, UsageError
from orl.evaluation.episodes import EnvSpec
from orl.runs.checkpoints import Checkpoints
from orl.runs.claim import claimed
from orl.runs.config import FitRunConfig, PolicyRunConfig, resolve_policy
from orl.runs.directory import (
    RunDirectory,
    check_folder,
    is_finished,
    load_run,
    open_run,
    settings_of,
    slug,
    versions,
)
from orl.runs.divergence import OnDivergence, lowered, with_rollback
from orl.runs.evaluate import usable_environment
from orl.runs.fit_model import FittedModel
from orl.runs.initial_policy import InitialPolicy, begin_at, initial_policy
from orl.runs.interrupt import stop_requested
from orl.runs.loading import load_split
from orl.runs.memory_needs import policy_plan
from orl.runs.model_supply import keep_model, keep_run, model_for, model_identity, params_digest, refuse_other_history
from orl.runs.penalty import calibrated_penalty, check_penalty, path_suffix, recorded_penalty, with_penalty
from orl.runs.policy import KIND
from orl.runs.program import Program, initial_states, program_of, train_data
from orl.runs.record import config_digest, dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.runs.training import Training, one_epoch, restore, save

INIT = "init"  # the folder inside a run that keeps the bc run it began as


def default_policy_path(
    root: Path, config: PolicyRunConfig, init: str | Path | None = None, penalty_share: float | None = None
) -> Path:
    """Where a run goes unless told otherwise: dataset, algorithm, seeds, "init" where it begins as bc, "calibrated"
    where its penalty is to be, and a digest where settings differ from the presets', so that a trial of other settings
    does not meet the folder of the usual ones."""
    seeds = config.seeds
    contiguous = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    span = f"{seeds[0]}-{seeds[-1]}" if contiguous and len(seeds) > 1 else "_".join(map(str, seeds))
    name = f"{config.algorithm}-s{span}" + ("-init" if init is not None else "") + path_suffix(penalty_share)
    usual, _ = resolve_policy(config.dataset, config.algorithm, {"seeds": list(seeds)})
    if as_tree(usual) != as_tree(config):
        name += f"-{config_digest(config, config.dataset)}"
    return root / slug(config.dataset) / name


def train_policy(
    dataset: Dataset,
    config: PolicyRunConfig,
    path: Path,
    *,
    root: Path = Path("runs"),
    model: str | Path | None = None,
    init: str | Path | None = None,
    presets: list[Preset] | None = None,
    penalty_share: float | None = None,
    force: bool = False,
    on_divergence: OnDivergence = "stop",
    simulator: bool = True,
    trust_env: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train and return the JSON document of `orl train-policy`; goes on where an earlier call stopped.

    Args:
        model: run folder of a fitted ensemble. Without it, the copy in the run's own folder is used, else one fitted
            for this dataset and these settings is looked for below `root`, and fitted if there is none.
        init: run folder of a finished bc run on this dataset, as whose policies these begin; a resumed run uses the
            copy in its own folder.
        penalty_share: take the penalty from the model's held-out rows instead of the settings, so that it covers the
            model's error on this share of them (usually `calibration.SHARE`). A run that goes on keeps its own.
        on_divergence: "rollback" goes back to the last good checkpoint, and on at a tenth of the learning rates, once;
            in the fit of a model too.
        simulator: whether to play episodes on the way and at the end, where the log's environment can be made.
        trust_env: make it as recorded, even where that runs code which the log names.

    Raises:
        UsageError: the folder holds another run, is in use or cannot be written to, the memory is too small, the
        algorithm has no such penalty, or `init` has other networks. DataError: the model or `init` belongs to another
        dataset, or no penalty covers that share. DivergedError: something was not finite. Interrupted: SIGINT or
        SIGTERM came.
    """
    reporter = reporter or Reporter()
    config = with_settings_of(model, config)
    dataset = with_history(dataset, config.history)
    figures = None
    if penalty_share is not None:
        check_penalty(config.algorithm, calibrated=True)
        figures = None if force else recorded_penalty(path, penalty_share)
        config = with_penalty(config, figures) if figures else config
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)  # before a model is fitted in vain
    if force:
        _refuse_to_delete(path, {"model": model, "bc run": init})
    if init is None and not force and (path / INIT / "run.json").exists():
        init = path / INIT
    initial = None if init is None else initial_policy(dataset, config, init)
    program = program_of(config, dataset)
    plan = policy_plan(dataset, config, program) if force or not is_finished(path) else None
    if plan is not None:
        plan.refuse_if_too_large()
    with claimed(path, plan is not None):  # before a model is fitted for it, and until it is done
        fitted = None
        if ALGORITHMS[config.algorithm].needs_model:
            if model is None and not force and (path / "model" / "run.json").exists():
                model = path / "model"
            fitted = model_for(dataset, config, root, model, reporter, on_divergence)
        if penalty_share is not None and fitted is not None and figures is None:
            figures = calibrated_penalty(dataset, config, fitted, penalty_share, reporter)
            config = with_penalty(config, figures)
            program = program_of(config, dataset)
        run = _open(path, dataset, config, presets, fitted, initial, figures, force=force)
        if plan is not None and not run.finished:
            env = usable_environment(run, reporter, trust_env) if simulator else None

            def go_on(scale: float) -> None:
                used = lowered(config, scale)
                ours = program if scale == 1.0 else program_of(used, dataset)
                _train(_prepare(run, dataset, used, ours, fitted, initial, env, reporter))

            with plan.explained():
                with_rollback(run, on_divergence, config.train.checkpoint_every, reporter, go_on)
    return document(run)


def _refuse_to_delete(path: Path, sources: Mapping[str, str | Path | None]) -> None:
    """UsageError where what a run is made from lies in the folder that --force would clear."""
    for name, source in sources.items():
        if source is not None and Path(source).resolve().is_relative_to(path.resolve()):
            raise UsageError(f"--force would delete {source} together with {path}; copy the {name} elsewhere first")


def _open(
    path: Path,
    dataset: Dataset,
    config: PolicyRunConfig,
    presets: list[Preset] | None,
    fitted: FittedModel | None,
    initial: InitialPolicy | None,
    figures: dict[str, Any] | None,
    *,
    force: bool,
) -> RunDirectory:
    """The run folder, with copies of what the run is made from unless it is finished: it has to stand on its own."""
    details = run_details(dataset, presets or []) | {
        "seeds": list(config.seeds),
        "termination": fitted.termination if fitted else None,
        "began_as": initial and {"run": str(initial.path), "seeds": list(initial.seeds)},
        "penalty": figures,
    }
    identity = dataset_identity(dataset) | {"model": model_identity(fitted)}
    identity |= {"init": initial and params_digest(initial.params)}
    run = open_run(path, KIND, config, identity, details, force=force)
    if not run.finished:
        if fitted is not None:
            keep_model(fitted, run.path / "model")
        if initial is not None:
            keep_run(initial.path, run.path / INIT)
    return run


def with_settings_of(model: str | Path | None, config: PolicyRunConfig) -> PolicyRunConfig:
    """The settings with those of the model that is used: its networks, termination, history and held-out episodes.

    Raises:
        UsageError: the algorithm takes no model, or the settings ask for another history than the model's.
    """
    if model is None:
        return config
    if not ALGORITHMS[config.algorithm].needs_model:
        raise UsageError(f"{config.algorithm} uses no model; leave --model out")
    fitted = settings_of(load_run(Path(model), "ensemble").path, partial(build, FitRunConfig))
    if config.history:
        refuse_other_history(model, config.history)
    return replace(config, model=fitted.model, model_seed=fitted.seed, history=fitted.history)


def document(run: RunDirectory) -> dict[str, Any]:
    """The JSON document of a finished training."""
    record = run.record
    return {
        "schema": record["schema"],
        "run": str(run.path),
        "kind": KIND,
        "algorithm": record["result"]["algorithm"],
        "dataset": record["dataset"],
        "seeds": record["seeds"],
        "history": run.history,
        "presets": record["presets"],
        "began_as": record.get("began_as"),
        "penalty": record.get("penalty"),
        "rollback": record.get("rollback"),
        "value_warning": record.get("value_warning"),
        "seconds": record["seconds"],
        "versions": versions(),
        **{key: value for key, value in record["result"].items() if key != "algorithm"},
    }


def _prepare(
    run: RunDirectory,
    dataset: Dataset,
    config: PolicyRunConfig,
    program: Program,
    fitted: FittedModel | None,
    initial: InitialPolicy | None,
    env: EnvSpec | None,
    reporter: Reporter,
) -> Training:
    """Move the data to the device, make or restore the state."""
    spec, algorithm = dataset.spec, program.algorithm
    loaded = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
    normaliser = (
        fit_normaliser(loaded.train.obs) if config.agent.normalise_obs else identity_normaliser(spec.stacked_dim)
    )
    state = initial_states(config, program, normaliser, spec)
    if initial is not None:
        state = begin_at(algorithm, state, initial)
    # committed to the device, as what an epoch returns is: else the second epoch would compile anew
    state = jax.device_put(state, jax.devices()[0])
    if caution := ALGORITHMS[config.algorithm].caution(config.agent, loaded.train):
        reporter.message(caution)
    return Training(
        run=run,
        config=config,
        dataset=dataset,
        algorithm=algorithm,
        epoch_fn=program.epoch_fn,
        data=train_data(config, algorithm, fitted.params if fitted else None, loaded),
        state=state,
        best=jax.tree.map(jnp.copy, algorithm.policy(state.agent)),
        best_return=np.full(len(config.seeds), -np.inf, np.float32),
        env=env,
        reporter=reporter,
        largest_reward=float(np.abs(dataset.reward).max()),
    )


def _train(training: Training) -> None:
    """Run the epochs that are left, then evaluate and close the record."""
    began, checkpoints = time.perf_counter(), Checkpoints(training.run.checkpoints)
    try:
        rate = _epochs(training, checkpoints)
    finally:
        checkpoints.close()
    training.reporter.finish()
    config = training.config
    # the first epoch of a process compiles: its time is not a rate
    steady = float(np.median(rate[1:] or rate)) if rate else 0.0
    result: dict[str, Any] = {"algorithm": config.algorithm, "steps": config.train.epochs * config.train.epoch_steps}
    result["updates_per_second"] = config.train.epoch_steps * len(config.seeds) / steady if steady else None
    if training.env is not None:
        result |= _final_score(training)
    training.run.update(status="finished", result=result, seconds=time.perf_counter() - began)


def _epochs(training: Training, checkpoints: Checkpoints) -> list[float]:
    """The epochs that are left, with their checkpoints; the seconds of each."""
    run, config, reporter = training.run, training.config, training.reporter
    first = restore(training, checkpoints)
    run.rewind(first * config.train.epoch_steps)
    reporter.start(f"training {config.algorithm}", config.train.epochs, "epochs", first)
    rate: list[float] = []
    with stop_requested() as stopping:
        for epoch in range(first + 1, config.train.epochs + 1):
            rate.append(one_epoch(training, epoch))
            last = epoch == config.train.epochs
            if last or stopping() or epoch % config.train.checkpoint_every == 0:
                save(training, checkpoints, epoch)
            if stopping() and not last:
                run.update(status="interrupted")
                raise Interrupted(f"stopped after {epoch} of {config.train.epochs} epochs; the same command goes on")
    return rate


def _final_score(training: Training) -> dict[str, Any]:
    """The last evaluation's returns and scores, and the best of training (chosen with the simulator)."""
    rows = [row for row in training.run.rows("metrics.jsonl") if "eval_return" in row]
    last = [row["eval_return"] for row in rows if row["step"] == rows[-1]["step"]]
    reference = training.dataset.reference

    def scored(returns: Any) -> dict[str, Any]:
        returns = np.asarray(returns, np.float64)
        scores = reference.score(returns) if reference else returns
        return {"mean": float(np.mean(scores)), "per_seed": scores.tolist()}

    return {
        "score": scored(last) | {"episodes": training.config.train.eval_episodes, "normalised": reference is not None},
        "best_score": scored(training.best_return),
    }
