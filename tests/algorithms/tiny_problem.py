"""Tiny networks, models and logs on which every algorithm runs in a moment."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.epoch import Epoch, Schedule, TrainData, TrainState, init_training, make_epoch
from orl.config import build
from orl.data.normalise import Normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble
from orl.runs.seeds import epoch_keys, over_seeds, seed_keys
from orl.types import Batch, NextAction, Transition

OBS, ACTIONS, LOGGED = 3, 2, 40
ENSEMBLE = Ensemble(EnsembleConfig(members=3, elites=2, hidden=(8,), weight_decay=(0.0, 0.0)), OBS, ACTIONS)
NORMALISER = Normaliser(jnp.array([0.1, -0.2, 0.0]), jnp.array([1.5, 0.8, 1.0]))
TINY = {"hidden": (8,), "batch_size": 12, "real_ratio": 0.5, "rollout_batch": 6, "rollout_length": 2} | {
    "retain_epochs": 2,
    "actions_per_source": 3,
}


def make(name: str, **settings: Any) -> Algorithm:
    """An algorithm of the table with tiny networks; settings it does not have are left out of the tiny ones."""
    entry = ALGORITHMS[name]
    known = {key: value for key, value in TINY.items() if key in entry.config.__dataclass_fields__}
    return entry.build(build(entry.config, known | settings), Problem(OBS, ACTIONS, 1000, ENSEMBLE))


@functools.cache
def model_params() -> Any:
    """An unfitted ensemble whose members disagree."""
    sizes = (OBS + ACTIONS, OBS + 1, OBS + 1)
    return jax.jit(ENSEMBLE.init)(jax.random.key(7), *(identity_normaliser(size) for size in sizes))


def random_rows(key: jax.Array, n: int) -> Transition:
    """Transitions without any structure, some of them terminal."""
    keys = jax.random.split(key, 5)
    return Transition(
        jax.random.normal(keys[0], (n, OBS)),
        jax.random.uniform(keys[1], (n, ACTIONS), minval=-1.0, maxval=1.0),
        jax.random.normal(keys[2], (n,)),
        jax.random.normal(keys[3], (n, OBS)),
        (jax.random.uniform(keys[4], (n,)) < 0.2).astype(jnp.float32),
    )


def batch_for(algorithm: Algorithm) -> Batch:
    """One batch with the numbers of rows the algorithm asks for."""
    real_key, model_key = jax.random.split(jax.random.key(5))
    real, model = random_rows(real_key, algorithm.real_rows), random_rows(model_key, algorithm.model_rows)
    follows = (random_rows(key, rows.reward.shape[0]) for key, rows in ((model_key, real), (real_key, model)))
    real_next, model_next = (NextAction(rows.action, 1.0 - rows.terminated) for rows in follows)
    return Batch(real, model, real_next if algorithm.real_next else (), model_next if algorithm.model_next else ())


def schedule_for(algorithm: Algorithm, updates: int) -> Schedule:
    """The tiny sizes of an epoch."""
    return Schedule(updates, 6, 2, 2) if algorithm.step else Schedule(updates)


def world_for(algorithm: Algorithm) -> Any:
    """What the algorithm makes of the unfitted ensemble and the log; () without a model."""
    logged = random_rows(jax.random.key(6), LOGGED)
    return jax.jit(algorithm.world)(model_params(), logged) if algorithm.step else ()


def data_for(algorithm: Algorithm) -> TrainData:
    """What an epoch reads."""
    logged = random_rows(jax.random.key(6), LOGGED)
    continues = jnp.arange(LOGGED) % 10 != 9 if algorithm.real_next else ()
    return TrainData(logged, logged.obs, world_for(algorithm), continues)


def start_states(algorithm: Algorithm, schedule: Schedule, seeds: tuple[int, ...]) -> TrainState:
    """Fresh states stacked over the seeds, as the training makes them."""
    init = jax.jit(lambda key: init_training(algorithm, schedule, key, NORMALISER, OBS, ACTIONS))
    states = [init(key) for key in epoch_keys(seed_keys(seeds), 0)]
    return jax.device_put(jax.tree.map(lambda *leaves: jnp.stack(leaves), *states), jax.devices()[0])


class Trainer:
    """One compiled program for some number of seeds, and how often it was traced."""

    def __init__(self, name: str, seeds: int, axis: str, updates: int) -> None:
        self.algorithm = make(name)
        self.schedule, self.data = schedule_for(self.algorithm, updates), data_for(self.algorithm)
        self.traces = 0
        self.program = over_seeds(self._counted(make_epoch(self.algorithm, self.schedule)), seeds, axis)

    def _counted(self, epoch: Epoch) -> Epoch:
        def counted(*arguments: Any) -> Any:
            self.traces += 1
            return epoch(*arguments)

        return counted

    def train(self, seeds: tuple[int, ...], epochs: int) -> list[tuple[TrainState, Any]]:
        """(state, metrics) after each epoch, as NumPy arrays (the states are donated)."""
        state, results = start_states(self.algorithm, self.schedule, seeds), []
        for number in range(1, epochs + 1):
            state, metrics, _ = self.program(state, epoch_keys(seed_keys(seeds), number), self.data)
            results.append(jax.tree.map(np.asarray, (state, metrics)))
        return results
