"""The ensemble's fit, model rollouts with a policy acting, and the bare model step."""

from __future__ import annotations

from typing import Any

import jax

from orl.algorithms import ALGORITHMS
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.fit import compiled_epoch, fit_data, init_fit
from orl.mdp.step import make_step
from orl_bench.arithmetic import actor_widths, ensemble_epoch, forward, model_widths, rollout
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hopper import ACT, OBS, logged, model, rollout_call

MODEL = model_widths(OBS, EnsembleConfig.hidden, ACT)
HORIZON = 5


def ensemble_work(rows: int, repeats: int, warm: bool = True) -> Work:
    """One epoch of `orl fit-model` over `rows` logged rows, a tenth as many held out (20,000 at most)."""
    ensemble, params = model()
    config = ensemble.config
    held = min(rows // 10, config.holdout_max_rows)
    train, holdout = fit_data(params, logged(rows)), fit_data(params, logged(held))
    epoch = compiled_epoch(ensemble)
    state, key, steps = init_fit(ensemble, params), jax.random.key(1), rows // config.batch_size

    def call() -> Any:
        nonlocal state
        state, metrics, _ = epoch(state, key, train, holdout)
        return state, metrics

    return Work(
        workload=f"{config.members} members of 4x200, batch {config.batch_size}, {steps} steps, {held} rows held out",
        unit="steps",
        count=steps,
        amount=ensemble_epoch(config.members, MODEL, config.batch_size, steps, held) / 1e9,
        call=call,
        repeats=repeats,
        warm=warm,
        extra={"rows": rows, "data_mib": mebibytes(train)},
    )


def rollout_work(name: str, quick: bool) -> Work:
    """Rollouts as a training epoch makes them: every member predicts (mopo), or one member a row (combo)."""
    rows, config = 5_000 if quick else 50_000, ALGORITHMS[name].config(hidden=(256, 256))
    members = EnsembleConfig.members if name == "mopo" else 1
    who = "every member predicts each row (max_std)" if name == "mopo" else "one member predicts each row"
    return Work(
        workload=f"{rows} states x {HORIZON} steps, a 2x256 policy acts, {who}",
        unit="transitions",
        count=rows * HORIZON,
        amount=rollout(rows, HORIZON, members, MODEL, actor_widths(OBS, config.hidden, ACT)) / 1e9,
        call=rollout_call(name, config, rows, HORIZON),
        repeats=5,
    )


def step_work(uncertainty: str | None, quick: bool) -> Work:
    """One bare model step, with every member or with one member a row."""
    rows = 5_000 if quick else 50_000
    ensemble, params = model()
    step, log = jax.jit(make_step(ensemble, "never", uncertainty)), logged(rows)
    members = ensemble.config.members if uncertainty else 1
    return Work(
        workload=f"{rows} rows, {'every member' if uncertainty else 'one member'} predicts each row",
        unit="transitions",
        count=rows,
        amount=members * forward(rows, MODEL) / 1e9,
        call=lambda: step(params, jax.random.key(2), log.obs, log.action),
        repeats=7,
    )


def mebibytes(tree: Any) -> float:
    """Memory of a tree's arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if hasattr(leaf, "nbytes")) / 2**20


def _ensemble(setting: Setting) -> Work:
    return ensemble_work(rows=256 * (40 if setting.quick else 200), repeats=5)


BENCHMARKS = [
    Benchmark("ensemble-epoch", "ensemble", _ensemble),
    Benchmark("rollout-mopo", "rollouts", lambda setting: rollout_work("mopo", setting.quick)),
    Benchmark("rollout-combo", "rollouts", lambda setting: rollout_work("combo", setting.quick)),
    Benchmark("model-step-all", "rollouts", lambda setting: step_work("max_std", setting.quick), quick=False),
    Benchmark("model-step-one", "rollouts", lambda setting: step_work(None, setting.quick), quick=False),
]
