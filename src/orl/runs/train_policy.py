"""`orl train-policy`: from a dataset (and a model) to policies in a run folder, all seeds in one program."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.agents.config import DynaConfig
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.epoch import Epoch, Schedule, TrainData, TrainState, init_training, make_epoch
from orl.config import Preset
from orl.data.episodes import Dataset
from orl.data.normalise import Normaliser, fit_normaliser, identity_normaliser
from orl.errors import DataError, DivergedError, Interrupted, UsageError
from orl.evaluation.episodes import EnvSpec
from orl.runs.checkpoints import Checkpoints
from orl.runs.config import FitRunConfig, PolicyRunConfig
from orl.runs.directory import RunDirectory, check_folder, load_run, open_run, slug, versions
from orl.runs.evaluate import play, usable_environment
from orl.runs.fit_model import FittedModel, default_model_path, find_model, fit_model, load_model
from orl.runs.interrupt import stop_requested
from orl.runs.loading import LoadedData, load_split
from orl.runs.policy import KIND
from orl.runs.record import dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.types import Params, Spec

TRAINING_EVAL_SEED = 1_000_000  # start states seen while training are not those of `orl evaluate`


def default_policy_path(root: Path, config: PolicyRunConfig) -> Path:
    """Where a run goes unless told otherwise: dataset, algorithm and seeds."""
    seeds = config.seeds
    span = f"s{seeds[0]}" if len(seeds) == 1 else f"s{seeds[0]}-{seeds[-1]}"
    return root / slug(config.dataset) / f"{config.algorithm}-{span}"


@dataclass
class _Training:
    """The parts of a run that is under way. Arrays of `state` and `best` have a leading seed axis S."""

    run: RunDirectory
    config: PolicyRunConfig
    dataset: Dataset
    algorithm: Algorithm
    epoch_fn: Callable[[TrainState, jax.Array, TrainData], tuple[TrainState, dict]]
    data: TrainData
    state: TrainState
    best: Params
    best_return: np.ndarray
    env: EnvSpec | None
    reporter: Reporter


def train_policy(
    dataset: Dataset,
    config: PolicyRunConfig,
    path: Path,
    *,
    root: Path = Path("runs"),
    model: str | Path | None = None,
    presets: list[Preset] | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train and return the JSON document of `orl train-policy`; goes on where an earlier call stopped.

    Args:
        model: run folder of a fitted ensemble. Without it, the copy in the run's own folder is used, else one fitted
            for this dataset and these settings is looked for below `root`, and fitted if there is none.

    Raises:
        UsageError: the folder holds another run. DataError: the model belongs to another dataset.
        DivergedError: a loss became non-finite. Interrupted: SIGINT or SIGTERM came.
    """
    reporter = reporter or Reporter()
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)  # before a model is fitted in vain
    if force and model is not None and Path(model).resolve().is_relative_to(path.resolve()):
        raise UsageError(f"--force would delete {model} together with {path}; copy the model elsewhere first")
    fitted = None
    if ALGORITHMS[config.algorithm].needs_model:
        if model is None and not force and (path / "model" / "run.json").exists():
            model = path / "model"
        fitted = _model_for(dataset, config, root, model, reporter)
    details = run_details(dataset, presets or []) | {
        "seeds": list(config.seeds),
        "termination": fitted.termination if fitted else None,
    }
    identity = dataset_identity(dataset) | {"model": _model_identity(fitted)}
    run = open_run(path, KIND, config, identity, details, force=force)
    if not run.finished:
        if fitted is not None:
            _keep_model(fitted, run.path / "model")
        _train(_prepare(run, dataset, config, fitted, reporter))
    return document(run)


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
        "presets": record["presets"],
        "seconds": record["seconds"],
        "versions": versions(),
        **{key: value for key, value in record["result"].items() if key != "algorithm"},
    }


def _model_for(
    dataset: Dataset, config: PolicyRunConfig, root: Path, model: str | Path | None, reporter: Reporter
) -> FittedModel:
    """The model named, found or fitted."""
    if model is not None:
        run = load_run(Path(model), "ensemble")
        if run.record.get("fingerprint") != dataset.fingerprint:
            raise DataError(
                f"{model} was fitted on {run.record['dataset']['name']}, another dataset than {dataset.name}"
                " (fingerprints differ); fit one on this data, or leave --model out"
            )
        if not run.finished:
            raise DataError(f"{model} is not finished; run its fit-model command again to complete it")
        return load_model(model)
    fit_config = FitRunConfig(config.dataset, config.model_seed, config.model)
    found = find_model(root, dataset, fit_config)
    if found is None:
        found = default_model_path(root, dataset, fit_config)
        reporter.message(f"no model fitted for this dataset and these settings: fitting one into {found}")
        fit_model(dataset, fit_config, found, reporter=reporter)
    else:
        reporter.message(f"using the model in {found}")
    return load_model(found)


def _model_identity(fitted: FittedModel | None) -> str | None:
    """A digest of the model's own settings and data, so that a resumed run meets the same model."""
    if fitted is None:
        return None
    import hashlib

    leaves = jax.tree.leaves(fitted.params)
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()[:16]


def _keep_model(fitted: FittedModel, target: Path) -> None:
    """Copy the model into the policy's folder, without its training state: the folder must stand on its own."""
    if (target / "run.json").exists():
        return
    temporary = target.with_name("model.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(fitted.path, temporary, ignore=shutil.ignore_patterns("state", "timings.jsonl"))
    temporary.rename(target)


def _prepare(
    run: RunDirectory, dataset: Dataset, config: PolicyRunConfig, fitted: FittedModel | None, reporter: Reporter
) -> _Training:
    """Build the algorithm, move the data to the device, make or restore the state."""
    agent, spec = config.agent, dataset.spec
    loaded = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
    problem = Problem(
        spec.obs_dim,
        spec.action_dim,
        config.train.epochs * config.train.epoch_steps,
        fitted.ensemble if fitted else None,
        fitted.termination if fitted else "never",
    )
    algorithm = ALGORITHMS[config.algorithm].build(agent, problem)
    schedule = schedule_of(config, algorithm)
    normaliser = fit_normaliser(loaded.train.obs) if agent.normalise_obs else identity_normaliser(spec.obs_dim)
    # committed to the device, as what an epoch returns is: else the second epoch would compile anew
    state = jax.device_put(_initial_states(config, algorithm, schedule, normaliser, spec), jax.devices()[0])
    data = train_data(config, algorithm, fitted, loaded)
    best = jax.tree.map(jnp.copy, algorithm.policy(state.agent))
    epoch_fn = over_seeds(make_epoch(algorithm, schedule), len(config.seeds), config.seed_axis)
    return _Training(
        run=run,
        config=config,
        dataset=dataset,
        algorithm=algorithm,
        epoch_fn=epoch_fn,
        data=data,
        state=state,
        best=best,
        best_return=np.full(len(config.seeds), -np.inf, np.float32),
        env=usable_environment(run, reporter),
        reporter=reporter,
    )


def schedule_of(config: PolicyRunConfig, algorithm: Algorithm) -> Schedule:
    """The static sizes of one epoch of a run."""
    if algorithm.step is None:
        return Schedule(config.train.epoch_steps)
    agent: DynaConfig = config.agent
    return Schedule(config.train.epoch_steps, agent.rollout_batch, agent.rollout_length, agent.retain_epochs)


def train_data(
    config: PolicyRunConfig, algorithm: Algorithm, fitted: FittedModel | None, loaded: LoadedData
) -> TrainData:
    """Logged rows, start states and the (pessimistic) model's parameters."""
    starts = loaded.train.obs
    if getattr(config.agent, "rollout_start", "data") == "initial":
        starts = jnp.asarray(loaded.initial_obs)
    world = jax.jit(algorithm.world)(fitted.params, loaded.train) if fitted else ()
    return TrainData(loaded.train, starts, world)


def seed_keys(seeds: tuple[int, ...]) -> jax.Array:
    """[S] one root key per seed, the same whichever seeds run together."""
    root = jax.random.key(0)
    return jnp.stack([jax.random.fold_in(root, seed) for seed in seeds])


def epoch_keys(keys: jax.Array, epoch: int) -> jax.Array:
    """[S] the keys of an epoch: a resumed run continues the same streams."""
    return jax.vmap(lambda key: jax.random.fold_in(key, epoch))(keys)


def over_seeds(epoch: Epoch, seeds: int, axis: str) -> Callable[..., tuple[TrainState, dict]]:
    """(states, keys, data) -> (states, metrics), all with a leading seed axis S: the epoch of every seed, compiled.

    "vmap" batches the seeds in one program, which is faster and rounds differently. "map" (and a single seed) runs the
    one-seed program seed by seed, so its bits do not depend on how many seeds there are: were the loop over seeds
    inside the program, XLA would fuse it differently for one seed and for several.
    """
    if axis == "vmap" and seeds > 1:
        return jax.jit(jax.vmap(epoch, in_axes=(0, 0, None)), donate_argnums=0)
    one_seed = jax.jit(epoch, donate_argnums=0)

    def run(states: TrainState, keys: jax.Array, data: TrainData) -> tuple[TrainState, dict]:
        results = [one_seed(jax.tree.map(partial(_row, i), states), keys[i], data) for i in range(seeds)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return run


def _row(index: int, leaf: jax.Array) -> jax.Array:
    return leaf[index]


def _initial_states(
    config: PolicyRunConfig, algorithm: Algorithm, schedule: Schedule, normaliser: Normaliser, spec: Spec
) -> TrainState:
    """Fresh states, one a seed; stacked rather than vmapped, so that a seed's start never depends on the others."""
    init = jax.jit(lambda key: init_training(algorithm, schedule, key, normaliser, spec.obs_dim, spec.action_dim))
    states = [init(key) for key in epoch_keys(seed_keys(config.seeds), 0)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _train(training: _Training) -> None:
    """Run the epochs that are left, then evaluate and close the record."""
    run, config, reporter = training.run, training.config, training.reporter
    began = time.perf_counter()
    checkpoints = Checkpoints(run.checkpoints)
    first = _restore(training, checkpoints)
    run.rewind(first * config.train.epoch_steps)
    reporter.start(f"training {config.algorithm}", config.train.epochs, "epochs", first)
    rate: list[float] = []
    with stop_requested() as stopping:
        for epoch in range(first + 1, config.train.epochs + 1):
            rate.append(_one_epoch(training, epoch))
            last = epoch == config.train.epochs
            if last or stopping() or epoch % config.train.checkpoint_every == 0:
                _save(training, checkpoints, epoch)
            if stopping() and not last:
                checkpoints.close()
                run.update(status="interrupted")
                raise Interrupted(f"stopped after {epoch} of {config.train.epochs} epochs; the same command goes on")
    checkpoints.close()
    reporter.finish()
    # the first epoch of a process compiles: its time is not a rate
    steady = float(np.median(rate[1:] or rate)) if rate else 0.0
    result: dict[str, Any] = {"algorithm": config.algorithm, "steps": config.train.epochs * config.train.epoch_steps}
    result["updates_per_second"] = config.train.epoch_steps * len(config.seeds) / steady if steady else None
    if training.env is not None:
        result |= _final_score(training)
    run.update(status="finished", result=result, seconds=time.perf_counter() - began)


def _one_epoch(training: _Training, epoch: int) -> float:
    """One epoch of every seed: run, check, log, evaluate when due. Returns its seconds without evaluation."""
    config, run = training.config, training.run
    step = epoch * config.train.epoch_steps
    started = time.perf_counter()
    keys = epoch_keys(seed_keys(config.seeds), epoch)
    training.state, metrics = training.epoch_fn(training.state, keys, training.data)
    rows = {name: np.asarray(value, np.float64) for name, value in metrics.items()}
    seconds = time.perf_counter() - started
    for name, values in rows.items():
        if not np.isfinite(values).all():
            seed = config.seeds[int(np.argmin(np.isfinite(values)))]
            run.update(status="diverged")
            raise DivergedError(
                f"training diverged by step {step}: {name} of seed {seed} is not finite; the checkpoints in {run.path}"
                f" are kept; try lower learning rates{' or rollout_length' if training.algorithm.step else ''} in agent"
            )
    evaluation = _evaluate_if_due(training, epoch)
    for index, seed in enumerate(config.seeds):
        row = {name: float(values[index]) for name, values in rows.items()}
        run.append("metrics.jsonl", {"step": step, "seed": seed, **row, **{k: v[index] for k, v in evaluation.items()}})
    run.append("timings.jsonl", {"step": step, "seconds": seconds})
    shown: Mapping[str, float] = {name: float(values.mean()) for name, values in rows.items()}
    shown = {name: shown[name] for name in ("critic_loss", "actor_loss", "q") if name in shown}
    training.reporter.advance(epoch, {**shown, **{k: float(np.mean(v)) for k, v in evaluation.items()}})
    return seconds


def _evaluate_if_due(training: _Training, epoch: int) -> dict[str, list[float]]:
    """Mean returns per seed in the environment when an evaluation is due, keeping the best parameters of each seed."""
    every, last = training.config.train.eval_every, epoch == training.config.train.epochs
    if training.env is None or not (last or (every and epoch % every == 0)):
        return {}
    policy = training.algorithm.policy(training.state.agent)
    episodes = training.config.train.eval_episodes
    played = play(training.run, training.algorithm.act, policy, episodes, TRAINING_EVAL_SEED, training.env)
    returns = played.returns.mean(axis=1).astype(np.float32)  # what a checkpoint can hold, so that resuming is exact
    better = returns > training.best_return
    training.best_return = np.where(better, returns, training.best_return)
    mask = jnp.asarray(better)
    training.best = jax.tree.map(
        lambda new, old: jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old), policy, training.best
    )
    return {"eval_return": returns.tolist()}


def _final_score(training: _Training) -> dict[str, Any]:
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


def _restore(training: _Training, checkpoints: Checkpoints) -> int:
    """Put the newest checkpoint's state in place; returns the epoch it was made after, 0 for a fresh start."""
    latest = checkpoints.latest()
    if latest is None:
        return 0
    policy = training.algorithm.policy(training.state.agent)
    items = checkpoints.restore(
        latest,
        state=training.state,
        policy={"last": policy, "best": training.best},
        progress={"best_return": jnp.asarray(training.best_return)},
    )
    training.state, training.best = items["state"], items["policy"]["best"]
    training.best_return = np.asarray(items["progress"]["best_return"])
    training.reporter.message(f"going on from epoch {latest} of {training.config.train.epochs}")
    return latest


def _save(training: _Training, checkpoints: Checkpoints, epoch: int) -> None:
    policy = training.algorithm.policy(training.state.agent)
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(policy)):
        # metrics are means from before each update, so the last one can break the parameters unseen
        training.run.update(status="diverged")
        raise DivergedError(f"a policy parameter is not finite after epoch {epoch}; earlier checkpoints are kept")
    evaluated = np.isfinite(training.best_return).all()
    checkpoints.save(
        epoch,
        {
            "state": training.state,
            "policy": {"last": policy, "best": training.best if evaluated else policy},
            "progress": {"best_return": jnp.asarray(training.best_return)},
        },
    )


def parse_seeds(seed: int | None, seeds: str | None) -> tuple[int, ...]:
    """(3,) from --seed 3, (0, 1, 2) from --seeds 0:3 (end excluded), (1, 5) from --seeds 1,5."""
    if seed is not None and seeds is not None:
        raise UsageError("give --seed or --seeds, not both")
    if seeds is None:
        return (seed or 0,)
    try:
        if ":" in seeds:
            low, high = (int(part) for part in seeds.split(":"))
            chosen = tuple(range(low, high))
        else:
            chosen = tuple(int(part) for part in seeds.split(","))
    except ValueError:
        raise UsageError(
            f"--seeds {seeds}: expected a range such as 0:3 (end excluded) or a list such as 0,1,2"
        ) from None
    if not chosen or min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise UsageError(f"--seeds {seeds}: names no seeds, a negative one, or one twice")
    return chosen
