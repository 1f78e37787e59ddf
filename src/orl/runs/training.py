"""A training under way: one epoch, its evaluation, its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms.base import Algorithm
from orl.algorithms.epoch import TrainData, TrainState
from orl.data.episodes import Dataset
from orl.evaluation.episodes import EnvSpec
from orl.finite import Onset, tell
from orl.runs.checkpoints import Checkpoints
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import RunDirectory
from orl.runs.divergence import divergence, scale_entry
from orl.runs.evaluate import play
from orl.runs.reporter import Reporter
from orl.runs.seeds import epoch_keys, seed_keys
from orl.runs.value_warning import beyond_rewards
from orl.types import Params

TRAINING_EVAL_SEED = 1_000_000  # start states seen while training are not those of `orl evaluate`


@dataclass
class Training:
    """The parts of a run that is under way. Arrays of `state` and `best` have a leading seed axis S.

    `config` is what trains, after a rollback at lower rates. `best_return` is [S]. `largest_reward` is the data's, in
    absolute value.
    """

    run: RunDirectory
    config: PolicyRunConfig
    dataset: Dataset
    algorithm: Algorithm
    epoch_fn: Callable[[TrainState, jax.Array, TrainData], tuple[TrainState, dict, Onset]]
    data: TrainData
    state: TrainState
    best: Params
    best_return: np.ndarray
    env: EnvSpec | None
    reporter: Reporter
    largest_reward: float


def one_epoch(training: Training, epoch: int) -> float:
    """One epoch of every seed: run, check, log, evaluate when due. Returns its seconds without evaluation.

    Raises:
        Divergence: a tensor was not finite.
    """
    config, run = training.config, training.run
    step = epoch * config.train.epoch_steps
    started = time.perf_counter()
    keys = epoch_keys(seed_keys(config.seeds), epoch)
    training.state, metrics, onset = training.epoch_fn(training.state, keys, training.data)
    rows = {name: np.asarray(value, np.float64) for name, value in metrics.items()}
    seconds = time.perf_counter() - started
    if found := tell(onset):
        seed = config.seeds[found.row]
        raise divergence(found, epoch, config.train.epoch_steps, config, training.largest_reward, seed)
    evaluation = _evaluate_if_due(training, epoch)
    for index, seed in enumerate(config.seeds):
        row = {name: float(values[index]) for name, values in rows.items()}
        extra = scale_entry(run) | beyond_rewards(run, config, training.largest_reward, step, seed, row)
        extra |= {name: values[index] for name, values in evaluation.items()}
        line = {"step": step, "seed": seed, **row, **extra}
        run.append("metrics.jsonl", line)
        training.reporter.row(run, line)
    run.append("timings.jsonl", {"step": step, "seconds": seconds})
    shown: Mapping[str, float] = {name: float(values.mean()) for name, values in rows.items()}
    shown = {name: shown[name] for name in ("critic_loss", "actor_loss", "q") if name in shown}
    training.reporter.advance(epoch, {**shown, **{k: float(np.mean(v)) for k, v in evaluation.items()}})
    return seconds


def _evaluate_if_due(training: Training, epoch: int) -> dict[str, list[float]]:
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


def restore(training: Training, checkpoints: Checkpoints) -> int:
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


def save(training: Training, checkpoints: Checkpoints, epoch: int) -> None:
    """Write what a resumed training needs, and the last and the best policy, as the checkpoint of `epoch`."""
    policy = training.algorithm.policy(training.state.agent)
    evaluated = np.isfinite(training.best_return).all()
    checkpoints.save(
        epoch,
        {
            "state": training.state,
            "policy": {"last": policy, "best": training.best if evaluated else policy},
            "progress": {"best_return": jnp.asarray(training.best_return)},
        },
    )
