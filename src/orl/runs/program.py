"""The compiled part of a policy's training: its algorithm, the sizes of an epoch, the epoch of all seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.agents.config import RolloutConfig
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.epoch import Schedule, TrainData, TrainState, init_training, make_epoch
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.data.normalise import Normaliser
from orl.dynamics.ensemble import EnsembleParams
from orl.errors import UsageError
from orl.finite import Onset
from orl.runs.config import PolicyRunConfig
from orl.runs.ensembles import ensemble_for
from orl.runs.loading import LoadedData
from orl.runs.seeds import epoch_keys, over_seeds, seed_keys
from orl.types import Spec

MOST_ROWS = 2**31 - 1


class Program(NamedTuple):
    """An algorithm built for a run, and its epoch, compiled: (states, keys, data) -> (states, metrics, what was
    not finite), all with a leading seed axis S."""

    algorithm: Algorithm
    schedule: Schedule
    epoch_fn: Callable[[TrainState, jax.Array, TrainData], tuple[TrainState, dict, Onset]]


def program_of(config: PolicyRunConfig, dataset: Dataset, schedule: Schedule | None = None) -> Program:
    """The program of a run, which does not depend on the parameters of its model; nothing is traced yet.

    Args:
        schedule: sizes of an epoch, where they are not the run's own.
    """
    dataset = with_history(dataset, config.history)
    spec = dataset.spec
    ensemble, termination = None, "never"
    if ALGORITHMS[config.algorithm].needs_model:
        ensemble, termination = ensemble_for(config.model, dataset)
    updates = config.train.epochs * config.train.epoch_steps
    problem = Problem(spec.stacked_dim, spec.action_dim, updates, ensemble, termination)
    algorithm = ALGORITHMS[config.algorithm].build(config.agent, problem)
    schedule = schedule or schedule_of(config, algorithm)
    epoch_fn = over_seeds(make_epoch(algorithm, schedule), len(config.seeds), config.seed_axis)
    return Program(algorithm, schedule, epoch_fn)


def schedule_of(config: PolicyRunConfig, algorithm: Algorithm) -> Schedule:
    """The static sizes of one epoch of a run.

    Raises:
        UsageError: the rollout buffer would have more rows than an int32 counts.
    """
    if algorithm.step is None:
        return Schedule(config.train.epoch_steps)
    agent: RolloutConfig = config.agent
    rows = agent.rollout_batch * agent.rollout_length * agent.retain_epochs
    if rows > MOST_ROWS:
        raise UsageError(
            f"the rollout buffer would have {rows:,} rows, at most {MOST_ROWS:,} can be; lower agent.rollout_batch,"
            " agent.rollout_length or agent.retain_epochs"
        )
    return Schedule(config.train.epoch_steps, agent.rollout_batch, agent.rollout_length, agent.retain_epochs)


def train_data(
    config: PolicyRunConfig, algorithm: Algorithm, model: EnsembleParams | None, loaded: LoadedData
) -> TrainData:
    """Logged rows, start states and the (pessimistic) model's parameters."""
    starts = loaded.train.obs
    if getattr(config.agent, "rollout_start", "data") == "initial":
        starts = jnp.asarray(loaded.initial_obs)
    world = jax.jit(algorithm.world)(model, loaded.train) if model is not None else ()
    return TrainData(loaded.train, starts, world, jnp.asarray(loaded.continues) if algorithm.real_next else ())


def initial_states(config: PolicyRunConfig, program: Program, normaliser: Normaliser, spec: Spec) -> TrainState:
    """Fresh states, one a seed; stacked rather than vmapped, so that a seed's start never depends on the others."""
    algorithm, schedule = program.algorithm, program.schedule
    init = jax.jit(lambda key: init_training(algorithm, schedule, key, normaliser, spec.stacked_dim, spec.action_dim))
    states = [init(key) for key in epoch_keys(seed_keys(config.seeds), 0)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
