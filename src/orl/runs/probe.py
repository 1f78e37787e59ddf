"""How fast a run will be: a few updates and a small rollout of its own program, timed after they are compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms.epoch import Schedule, TrainData
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.data.normalise import identity_normaliser
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.dynamics import fit as ensemble_fit
from orl.runs.config import FitRunConfig, PolicyRunConfig, SequenceRunConfig
from orl.runs.ensembles import ensemble_for, fresh_params
from orl.runs.loading import continues, transitions
from orl.runs.program import Program, initial_states, program_of, schedule_of
from orl.runs.seeds import epoch_keys, model_keys, seed_keys
from orl.runs.sequences import log_of
from orl.sequence import fit as sequence_fit
from orl.sequence.model import SequenceModel
from orl.sequence.tokens import make_discretiser, token_store
from orl.types import Transition

UPDATES = 20  # of a policy or an ensemble
BRANCHES = 1024  # rollouts
ROWS = 10_000  # logged rows that a probe reads at most
REPEATS = 2  # timed calls; the fastest counts, for another program can only slow one down


class Estimate(NamedTuple):
    """How fast, and for how long.

    Attributes:
        steps_per_second: gradient updates, of all seeds together. epoch_seconds: of one epoch.
        epochs: how many there are, None where the fit decides. left_out: what the time does not count.
    """

    steps_per_second: float
    epoch_seconds: float
    epochs: int | None
    left_out: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """Of all epochs, None where their number is not known."""
        return None if self.epochs is None else self.epochs * self.epoch_seconds

    def document(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**self._asdict(), "left_out": list(self.left_out), "seconds": self.seconds}


def probe_policy(dataset: Dataset, config: PolicyRunConfig) -> Estimate:
    """Times an unfitted model's rollout and an untrained policy's updates, on the first rows of the log.

    The time of a rollout grows with its branches; so it is measured on a few of them and multiplied.
    """
    dataset = with_history(dataset, config.history)
    whole = schedule_of(config, program_of(config, dataset).algorithm)
    branches = min(whole.rollout_batch, BRANCHES)
    short = Schedule(min(whole.updates, UPDATES), branches, whole.rollout_length)
    both = _time_policy(dataset, config, short)
    rollout = _time_policy(dataset, config, short._replace(updates=0)) if branches else 0.0
    update = max(both - rollout, 0.05 * both) / short.updates
    epoch = update * whole.updates + rollout * (whole.rollout_batch / branches if branches else 0.0)
    steps = whole.updates * len(config.seeds)
    return Estimate(steps / epoch, epoch, config.train.epochs, ("compilation", "evaluations"))


def _time_policy(dataset: Dataset, config: PolicyRunConfig, schedule: Schedule) -> float:
    program = program_of(config, dataset, schedule)
    states = initial_states(config, program, identity_normaliser(dataset.spec.stacked_dim), dataset.spec)
    data = _probe_data(dataset, config, program)
    keys = epoch_keys(seed_keys(config.seeds), 0)
    return _fastest(lambda: program.epoch_fn(jax.tree.map(jnp.copy, states), keys, data))


def _probe_data(dataset: Dataset, config: PolicyRunConfig, program: Program) -> TrainData:
    rows = np.arange(min(len(dataset), ROWS))
    logged = transitions(dataset, rows)
    world: Any = ()
    if program.algorithm.step:
        ensemble, _ = ensemble_for(config.model, dataset)
        params = fresh_params(ensemble, model_keys(config.model_seed)[0], logged)
        world = jax.jit(program.algorithm.world)(params, logged)
    follows = jnp.asarray(continues(dataset, rows)) if program.algorithm.real_next else ()
    return TrainData(logged, logged.obs, world, follows)


def probe_ensemble(dataset: Dataset, config: FitRunConfig) -> Estimate:
    """Times a few updates of all members, and the judgement of a chunk of held-out rows."""
    dataset = with_history(dataset, config.history)
    ensemble, _ = ensemble_for(config.model, dataset)
    split = split_by_episode(dataset, config.model.holdout_fraction, SPLIT_SEED, config.model.holdout_max_rows)
    batch = min(config.model.batch_size, len(split.train_rows))
    some = transitions(dataset, split.train_rows[: UPDATES * batch])
    params = fresh_params(ensemble, model_keys(config.seed)[0], some)
    train, chunk = (ensemble_fit.fit_data(params, rows) for rows in (some, _first(some, 1)))
    state = ensemble_fit.init_fit(ensemble, params)
    epoch_fn = ensemble_fit.compiled_epoch(ensemble, donate=False)
    judge = jax.jit(lambda params, rows: ensemble_fit.holdout_errors(ensemble, params, rows))
    both = _fastest(lambda: epoch_fn(state, jax.random.key(0), train, chunk))
    judged = _fastest(lambda: judge(params, chunk))  # chunks are padded to the same size
    update = max(both - judged, 0.05 * both) / (len(some.reward) // batch)
    updates = len(split.train_rows) // batch
    epoch = update * updates + judged * -(-len(split.holdout_rows) // ensemble_fit.HOLDOUT_CHUNK)
    return Estimate(updates / epoch, epoch, None, ("compilation", "the last judgement"))


def probe_sequence(dataset: Dataset, config: SequenceRunConfig) -> Estimate:
    """Times one update, and the judgement of a chunk of held-out windows."""
    model = SequenceModel(replace(config.model, steps=1, epoch_steps=1), dataset.spec.obs_dim, dataset.spec.action_dim)
    split = split_by_episode(dataset, config.model.holdout_fraction, SPLIT_SEED, config.model.holdout_max_rows)
    log = log_of(dataset, split.train_rows[:ROWS])
    params = model.init(model_keys(config.seed)[0], make_discretiser(log, model.config))
    store = token_store(log, params.discretiser, model.config)
    chunk = store._replace(starts=store.starts[: sequence_fit.HOLDOUT_CHUNK])
    state = sequence_fit.init_fit(model, params)
    epoch_fn = jax.jit(sequence_fit.make_epoch(model))
    judge = jax.jit(lambda params, rows: sequence_fit.holdout_losses(model, params, rows))
    judged = _fastest(lambda: judge(params, chunk))
    both = _fastest(lambda: epoch_fn(state, params, jax.random.key(0), store, chunk), repeats=1)
    update = max(both - judged, 0.05 * both)
    windows = -(-len(split.holdout_rows) // config.model.window)
    epoch = update * config.model.epoch_steps + judged * -(-windows // sequence_fit.HOLDOUT_CHUNK)
    return Estimate(config.model.epoch_steps / epoch, epoch, config.model.epochs, ("compilation", "the fit of values"))


def _first(rows: Transition, count: int) -> Transition:
    return jax.tree.map(lambda x: x[:count], rows)


def _fastest(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of several calls after one that compiles."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return min(seconds)
