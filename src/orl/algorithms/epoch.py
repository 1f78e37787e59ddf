"""One training epoch as one program: a model rollout, then a scan over gradient updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from orl.algorithms.base import Algorithm
from orl.data.buffer import Ring, empty_ring, insert, sample, take
from orl.data.normalise import Normaliser
from orl.mdp.rollout import rollout
from orl.types import Array, Batch, Metrics, Params, Transition


class TrainState(NamedTuple):
    """What an epoch carries to the next: the algorithm's own state and the model's transitions, () without a model."""

    agent: Any
    ring: Any


class TrainData(NamedTuple):
    """Arrays every epoch reads: logged rows [N, ...], states to branch from [M, O], and the model's parameters."""

    logged: Transition
    starts: Array
    world: Params


class Schedule(NamedTuple):
    """Static sizes of an epoch: gradient updates, branches, their length, and epochs kept in the buffer."""

    updates: int
    rollout_batch: int = 0
    rollout_length: int = 0
    retain_epochs: int = 1


Epoch = Callable[[TrainState, Array, TrainData], tuple[TrainState, Metrics]]


def init_training(
    algorithm: Algorithm, schedule: Schedule, key: Array, normaliser: Normaliser, obs_dim: int, action_dim: int
) -> TrainState:
    """The state before the first epoch. The key is consumed."""
    ring: Any = ()
    if algorithm.step is not None:
        capacity = schedule.rollout_batch * schedule.rollout_length * schedule.retain_epochs
        ring = empty_ring(capacity, obs_dim, action_dim)
    return TrainState(algorithm.init(key, normaliser), ring)


def make_epoch(algorithm: Algorithm, schedule: Schedule) -> Epoch:
    """(state, key, data) -> (state, metrics), to be jitted, vmapped over seeds or mapped.

    The key is the epoch's own, consumed. Data and model are arguments, never constants of the program.
    """

    def epoch(state: TrainState, key: Array, data: TrainData) -> tuple[TrainState, Metrics]:
        rollout_key, update_key = jax.random.split(key)
        ring = state.ring
        metrics: Metrics = {}
        if algorithm.step is not None:
            ring, metrics = _refill(algorithm, schedule, state, rollout_key, data)

        def update(agent: Any, key: Array) -> tuple[Any, Metrics]:
            real_key, model_key, agent_key = jax.random.split(key, 3)
            real = _draw_logged(data.logged, real_key, algorithm.real_rows)
            model = sample(ring, model_key, algorithm.model_rows) if algorithm.model_rows else _none_of(data.logged)
            return algorithm.update(agent_key, agent, Batch(real, model), data.world)

        agent, update_metrics = jax.lax.scan(update, state.agent, jax.random.split(update_key, schedule.updates))
        metrics = metrics | jax.tree.map(jnp.mean, update_metrics)
        return TrainState(agent, ring), metrics

    return epoch


def _refill(
    algorithm: Algorithm, schedule: Schedule, state: TrainState, key: Array, data: TrainData
) -> tuple[Ring, Metrics]:
    """Branch from random start states and put what is alive into the buffer."""
    start_key, roll_key = jax.random.split(key)
    start = data.starts[jax.random.randint(start_key, (schedule.rollout_batch,), 0, data.starts.shape[0])]
    result = rollout(
        algorithm.step,  # type: ignore[arg-type]
        algorithm.rollout_act,  # type: ignore[arg-type]
        data.world,
        algorithm.policy(state.agent),
        roll_key,
        start,
        schedule.rollout_length,
    )
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (result.steps, result.alive))
    rows = jnp.sum(result.alive)
    metrics = {
        "rollout_reward": jnp.sum(jnp.where(result.alive, result.steps.reward, 0.0)) / rows,
        "rollout_rows": rows.astype(jnp.float32),
        "rollout_terminated": jnp.sum(jnp.where(result.alive, result.steps.terminated, 0.0)) / schedule.rollout_batch,
    }
    return insert(state.ring, *flat), metrics | algorithm.rollout_metrics(data.world, result)


def _draw_logged(logged: Transition, key: Array, rows: int) -> Transition:
    return take(logged, jax.random.randint(key, (rows,), 0, logged.reward.shape[0]))


def _none_of(rows: Transition) -> Transition:
    return jax.tree.map(lambda x: x[:0], rows)
