"""One training epoch as one program: a model rollout, then a scan over gradient updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from orl import finite
from orl.algorithms.base import Algorithm
from orl.data.buffer import Ring, empty_ring, insert, sample_slots, take
from orl.data.normalise import Normaliser
from orl.mdp.rollout import Rollout, rollout
from orl.types import Array, Batch, Metrics, NextAction, Params, Transition


class TrainState(NamedTuple):
    """What an epoch carries to the next: the algorithm's own state and the model's transitions, () without a model."""

    agent: Any
    ring: Any


class TrainData(NamedTuple):
    """Arrays every epoch reads.

    Attributes:
        logged: [N, ...] rows. starts: [M, O] states to branch from. world: what `step` and `update` take.
        continues: [N] bool, whether the next row is the same episode's next step; () where no batch needs to know.
    """

    logged: Transition
    starts: Array
    world: Params
    continues: Any = ()


class Schedule(NamedTuple):
    """Static sizes of an epoch: gradient updates, branches, their length, and epochs kept in the buffer."""

    updates: int
    rollout_batch: int = 0
    rollout_length: int = 0
    retain_epochs: int = 1


Epoch = Callable[[TrainState, Array, TrainData], tuple[TrainState, Metrics, finite.Onset]]


def init_training(
    algorithm: Algorithm, schedule: Schedule, key: Array, normaliser: Normaliser, obs_dim: int, action_dim: int
) -> TrainState:
    """The state before the first epoch. The key is consumed."""
    ring: Any = ()
    if algorithm.step is not None:
        capacity = schedule.rollout_batch * schedule.rollout_length * schedule.retain_epochs
        ring = empty_ring(capacity, obs_dim, action_dim, next_action=algorithm.model_next)
    return TrainState(algorithm.init(key, normaliser), ring)


def make_epoch(algorithm: Algorithm, schedule: Schedule) -> Epoch:
    """(state, key, data) -> (state, metrics, what was not finite), to be jitted, vmapped over seeds or mapped.

    The key is the epoch's own, consumed. Data and model are arguments, never constants of the program.
    """

    def epoch(state: TrainState, key: Array, data: TrainData) -> tuple[TrainState, Metrics, finite.Onset]:
        rollout_key, update_key = jax.random.split(key)
        ring = state.ring
        metrics: Metrics = {}
        if algorithm.step is not None:
            ring, metrics = _refill(algorithm, schedule, state, rollout_key, data)

        rolled = finite.mark(metrics.items())

        def update(agent: Any, key: Array) -> tuple[Any, tuple[Metrics, finite.Marks]]:
            real_key, model_key, agent_key = jax.random.split(key, 3)
            batch = _draw(algorithm, data, ring, real_key, model_key)
            agent, metrics = algorithm.update(agent_key, agent, batch, data.world)
            return agent, (metrics, update_marks(metrics, agent))

        keys = jax.random.split(update_key, schedule.updates)
        agent, (update_metrics, updates) = jax.lax.scan(update, state.agent, keys)
        metrics = metrics | jax.tree.map(jnp.mean, update_metrics)
        before, after = (finite.mark(finite.arrays(each)) for each in (state.agent, agent))
        return TrainState(agent, ring), metrics, finite.onset(before, (finite.at_once(rolled), updates), after)

    return epoch


ACTOR_SIDE = ("actor", "behaviour_distance", "entropy", "alpha", "log_alpha")  # computed after the critics' step


def update_marks(metrics: Metrics, agent: Any) -> finite.Marks:
    """Marks of an update's losses and gradients: the critics' first, for the actor's follow from them."""
    tensors = [*metrics.items(), *finite.gradients(agent)]
    return finite.mark(sorted(tensors, key=lambda each: each[0].removeprefix("gradient of ").startswith(ACTOR_SIDE)))


def _refill(
    algorithm: Algorithm, schedule: Schedule, state: TrainState, key: Array, data: TrainData
) -> tuple[Ring, Metrics]:
    """Branch from random start states and put what is alive into the buffer."""
    start_key, roll_key = jax.random.split(key)
    start = data.starts[jax.random.randint(start_key, (schedule.rollout_batch,), 0, data.starts.shape[0])]
    step, act, policy = algorithm.step, algorithm.rollout_act, algorithm.policy(state.agent)
    assert step is not None
    assert act is not None
    result = rollout(step, act, data.world, policy, roll_key, start, schedule.rollout_length)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (result.steps, result.alive))
    rows = jnp.sum(result.alive)
    metrics = {
        "rollout_reward": jnp.sum(jnp.where(result.alive, result.steps.reward, 0.0)) / rows,
        "rollout_rows": rows.astype(jnp.float32),
        "rollout_terminated": jnp.sum(jnp.where(result.alive, result.steps.terminated, 0.0)) / schedule.rollout_batch,
    }
    following: Any = ()
    if algorithm.model_next:
        beyond = act(policy, jax.random.fold_in(key, 2), result.steps.next_obs[-1])  # children 0 and 1 are used above
        following = next_rollout_action(result, beyond).reshape(flat[0].action.shape)
    return insert(state.ring, flat[0], flat[1], following), metrics | algorithm.rollout_metrics(data.world, result)


def next_rollout_action(rollout: Rollout, beyond: Array) -> Array:
    """[H, B, A] what each row of a rollout did next; `beyond` [B, A] is done at the states where it stops."""
    return jnp.concatenate([rollout.steps.action[1:], beyond[None]])


def next_logged_action(data: TrainData, index: Array) -> NextAction:
    """The logged action after the rows `index` [B]; unknown after an episode's last step."""
    after = jnp.minimum(index + 1, data.logged.reward.shape[0] - 1)
    return NextAction(data.logged.action[after], data.continues[index].astype(jnp.float32))


def _draw(algorithm: Algorithm, data: TrainData, ring: Any, real_key: Array, model_key: Array) -> Batch:
    """The rows of one update, with the actions that followed them where the algorithm asks for those."""
    index = jax.random.randint(real_key, (algorithm.real_rows,), 0, data.logged.reward.shape[0])
    real, real_next = take(data.logged, index), next_logged_action(data, index) if algorithm.real_next else ()
    if not algorithm.model_rows:
        none = jax.tree.map(lambda x: x[:0], (real, real_next))
        return Batch(real, none[0], real_next, none[1])
    slots = sample_slots(ring, model_key, algorithm.model_rows)
    model_next = NextAction(ring.next_action[slots], jnp.ones(algorithm.model_rows)) if algorithm.model_next else ()
    return Batch(real, take(ring.rows, slots), real_next, model_next)
