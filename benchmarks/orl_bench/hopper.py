"""Made-up inputs of Hopper's shape: 11 observations, 3 actions. Their values do not matter to what work costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.epoch import Schedule, TrainData, TrainState, init_training, make_epoch
from orl.data.normalise import identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.mdp.rollout import rollout
from orl.runs.seeds import epoch_keys, over_seeds, seed_keys
from orl.sequence.tokens import Log
from orl.types import Transition

OBS, ACT = 11, 3


def random_rows(rows: int, width: int, seed: int = 0) -> jax.Array:
    """[rows, width] standard normal values."""
    return jax.random.normal(jax.random.key(seed), (rows, width), jnp.float32)


def logged(rows: int) -> Transition:
    """Random transitions."""

    def draw() -> Transition:
        obs = random_rows(rows, OBS)
        action = jnp.tanh(random_rows(rows, ACT, 1))
        return Transition(obs, action, obs[:, 0], obs + 0.1 * random_rows(rows, OBS, 2), jnp.zeros(rows))

    return jax.jit(draw)()


def model() -> tuple[Ensemble, EnsembleParams]:
    """An unfitted ensemble of the papers' size."""
    ensemble, outputs = Ensemble(EnsembleConfig(), OBS, ACT), identity_normaliser(OBS + 1)
    return ensemble, jax.jit(ensemble.init)(jax.random.key(0), identity_normaliser(OBS + ACT), outputs, outputs)


def token_log(rows: int, length: int = 1000) -> Log:
    """Random episodes, for the transformer."""
    rng = np.random.default_rng(0)
    last = np.minimum((np.arange(rows) // length + 1) * length, rows) - 1
    return Log(
        obs=rng.standard_normal((rows, OBS), np.float32),
        action=rng.uniform(-1, 1, (rows, ACT)).astype(np.float32),
        reward=rng.standard_normal(rows, np.float32),
        terminated=np.zeros(rows, bool),
        last=last,
        cut=np.ones(rows, bool),
        beyond=np.zeros(rows, np.float32),
    )


def algorithm_of(name: str, config: Any, updates: int) -> tuple[Algorithm, EnsembleParams]:
    """An algorithm of the table with these settings, and the model it rolls out in."""
    ensemble, params = model()
    return ALGORITHMS[name].build(config, Problem(OBS, ACT, updates, ensemble)), params


def start_states(algorithm: Algorithm, schedule: Schedule, seeds: int) -> TrainState:
    """Fresh states of the seeds 0, 1, ..."""
    keys, normaliser = epoch_keys(seed_keys(tuple(range(seeds))), 0), identity_normaliser(OBS)
    init = jax.jit(jax.vmap(lambda key: init_training(algorithm, schedule, key, normaliser, OBS, ACT)))
    return jax.device_put(init(keys), jax.devices()[0])


def training(name: str, config: Any, schedule: Schedule, seeds: int, rows: int) -> tuple[Callable[[], Any], TrainData]:
    """(a call that trains one epoch further, as a run does; what it reads)."""
    algorithm, params = algorithm_of(name, config, schedule.updates)
    log = logged(rows)
    world = jax.jit(algorithm.world)(params, log) if algorithm.step else ()
    continues = jnp.ones(rows, bool) if algorithm.real_next else ()
    data, state = TrainData(log, log.obs, world, continues), start_states(algorithm, schedule, seeds)
    epoch = over_seeds(make_epoch(algorithm, schedule), seeds, "vmap")
    keys = epoch_keys(seed_keys(tuple(range(seeds))), 1)

    def call() -> Any:
        nonlocal state
        state, metrics, _ = epoch(state, keys, data)
        return state, metrics

    return call, data


def rollout_call(name: str, config: Any, rows: int, horizon: int, seeds: int = 1) -> Callable[[], Any]:
    """A call that rolls the algorithm's fresh policies out in its model from `rows` states, a rollout a seed."""
    algorithm, params = algorithm_of(name, config, 1)
    start, world = random_rows(rows, OBS), jax.jit(algorithm.world)(params, logged(1000))
    policy = algorithm.policy(start_states(algorithm, Schedule(1, 1, 1, 1), seeds).agent)

    def roll(policy: Any, key: jax.Array, world: Any, start: jax.Array) -> Any:
        return rollout(algorithm.step, algorithm.rollout_act, world, policy, key, start, horizon)  # type: ignore[arg-type]

    program = jax.jit(jax.vmap(roll, in_axes=(0, 0, None, None)))
    if seeds == 1:
        program, policy = jax.jit(roll), jax.tree.map(lambda leaf: leaf[0], policy)
    keys = seed_keys(tuple(range(seeds)))
    return lambda: program(policy, keys if seeds > 1 else keys[0], world, start)
