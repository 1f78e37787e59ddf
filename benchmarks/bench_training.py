"""Ensemble epochs, model rollouts and policy updates at Hopper's sizes (obs 11, act 3), networks as in the papers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp

from benchmarks.harness import Result, random_rows, result
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Problem
from orl.algorithms.epoch import Schedule, TrainData, init_training, make_epoch
from orl.data.normalise import identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import fit_data, init_fit
from orl.dynamics.fit import make_epoch as make_fit_epoch
from orl.mdp.step import make_step
from orl.types import Transition

OBS, ACT = 11, 3


def logged(rows: int) -> Transition:
    """Random transitions of Hopper's shape."""
    obs = random_rows(rows, OBS)
    action = jnp.tanh(random_rows(rows, ACT, 1))
    return Transition(obs, action, obs[:, 0], obs + 0.1 * random_rows(rows, OBS, 2), jnp.zeros(rows))


def model() -> tuple[Ensemble, EnsembleParams]:
    """An unfitted ensemble of the papers' size."""
    ensemble = Ensemble(EnsembleConfig(), OBS, ACT)
    outputs = identity_normaliser(OBS + 1)
    return ensemble, ensemble.init(jax.random.key(0), identity_normaliser(OBS + ACT), outputs, outputs)


def mlp_gflop(rows: int, widths: list[int]) -> float:
    """Multiply-adds of one forward pass, two operations each, in units of 1e9."""
    return 2.0 * rows * sum(a * b for a, b in pairwise(widths)) / 1e9


def bench_ensemble(quick: bool) -> Result:
    """One epoch of the fit; forward and backward count as three forward passes."""
    steps = 20 if quick else 200
    ensemble, params = model()
    rows, config = logged(steps * 256), ensemble.config
    train, holdout = fit_data(params, rows), fit_data(params, logged(1000))
    epoch = jax.jit(make_fit_epoch(ensemble))
    state, key = init_fit(ensemble, params), jax.random.key(1)
    widths = [OBS + ACT, *config.hidden, 2 * (OBS + 1)]
    gflop = 3.0 * steps * config.members * mlp_gflop(256, widths)
    call = lambda: epoch(state, key, train, holdout)  # noqa: E731
    return result(
        "ensemble epoch", f"7 x 4x200, batch 256, {steps} steps", "steps", steps, gflop, call, 3 if quick else 7
    )


def bench_rollout(uncertainty: str | None, quick: bool) -> Result:
    """One model step of many rows, with every member (penalty) or one member a row."""
    rows = 2_500 if quick else 50_000
    ensemble, params = model()
    step = jax.jit(make_step(ensemble, "never", uncertainty))
    log = logged(rows)
    passes = ensemble.config.members if uncertainty else 1
    gflop = passes * mlp_gflop(rows, [OBS + ACT, *ensemble.config.hidden, 2 * (OBS + 1)])
    name = f"model step ({uncertainty or 'one member a row'})"
    call = lambda: step(params, jax.random.key(2), log.obs, log.action)  # noqa: E731
    return result(name, f"{rows} rows", "transitions", rows, gflop, call, 5 if quick else 9)


def bench_updates(name: str, quick: bool) -> Result:
    """A scan of gradient updates of one algorithm at its default sizes, sampling included, rollout of 256 rows."""
    updates = 5 if quick else 50
    ensemble, params = model()
    entry = ALGORITHMS[name]
    config = entry.config()
    if hasattr(config, "rollout_batch"):
        config = replace(config, rollout_batch=256, rollout_length=1)
    algorithm = entry.build(config, Problem(OBS, ACT, updates, ensemble))
    schedule = Schedule(updates, 256, 1, 1)
    log = logged(20_000)
    data = TrainData(log, log.obs, algorithm.world(params, log) if algorithm.step else ())
    state = init_training(algorithm, schedule, jax.random.key(0), identity_normaliser(OBS), OBS, ACT)
    epoch = jax.jit(make_epoch(algorithm, schedule))
    call = lambda: epoch(state, jax.random.key(3), data)  # noqa: E731
    gflop = updates * _update_gflop(name, config)
    workload = f"batch {config.batch_size}, hidden {'x'.join(map(str, config.hidden))}, {updates} updates"
    return result(f"{name} update", workload, "updates", updates, gflop, call, 3 if quick else 7)


def _update_gflop(name: str, config: object) -> float:
    """Arithmetic that one update needs, gradients of what is detached left out."""
    batch, hidden = config.batch_size, list(config.hidden)  # type: ignore[attr-defined]
    actor = mlp_gflop(batch, [OBS, *hidden, 2 * ACT])
    if name == "bc":
        return 3 * actor
    critics = config.critics * mlp_gflop(batch, [OBS + ACT, *hidden, 1])  # type: ignore[attr-defined]
    # target: actor and critics forward; critic loss: forward and backward; actor loss: critics' inputs' gradient too
    sac = (actor + critics) + 3 * critics + (3 * actor + 2 * critics)
    if not hasattr(config, "actions_per_source"):
        return sac
    per_source = config.actions_per_source
    return sac + 2 * per_source * actor + 3 * 3 * per_source * critics + 3 * critics


def benchmarks(quick: bool) -> Iterator[Result]:
    """Every benchmark of this file, in the order of a run."""
    yield bench_ensemble(quick)
    yield bench_rollout("max_std", quick)
    yield bench_rollout(None, quick)
    for name in ALGORITHMS:
        yield bench_updates(name, quick)
