"""Policy updates of every algorithm, for one seed and for eight in one program; whole epochs as a user runs them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from orl.agents.config import CriticConfig, RolloutConfig, Td3Config
from orl.agents.regularisers import ConservativeConfig
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import rows_of
from orl.algorithms.epoch import Schedule
from orl.algorithms.mobile import MobileConfig
from orl.algorithms.mobrac import MobracConfig
from orl.dynamics.config import EnsembleConfig
from orl.runs.config import policy_config
from orl.runs.program import schedule_of
from orl_bench.arithmetic import (
    actor_widths,
    bellman_inconsistency,
    cloning_update,
    conservative_term,
    forward,
    rollout,
    sac_update,
    td3_update,
)
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hopper import ACT, OBS, algorithm_of, rollout_call, training
from orl_bench.models import MODEL, mebibytes

ROWS = 20_000  # logged
BRANCHES = 256  # of the rollout before the updates, one step long: an epoch has one, and its time is subtracted
SEEDS = 8
WIDE: dict[str, Any] = {"hidden": (256, 256, 256), "critics": 10}  # unifloral's sizes
QUICK = ("bc", "mopo", "combo")  # the others' updates are made of the same parts
ALL_MEMBERS = ("mopo", "morel")  # whose rollouts ask every member about every row


def update_flop(config: Any) -> float:
    """Operations of one update with these settings."""
    shape = (OBS, config.hidden, ACT)
    if not isinstance(config, CriticConfig):
        return cloning_update(config.batch_size, *shape)
    if isinstance(config, Td3Config):
        flop = td3_update(config.batch_size, *shape, config.critics, config.actor_every)
        if isinstance(config, MobracConfig) and config.anchor == "behaviour":
            _, model_rows = rows_of(config.batch_size, config.real_ratio)
            flop += 2 * forward(model_rows, [OBS, *config.hidden, ACT])
        return flop
    flop = sac_update(config.batch_size, *shape, config.critics)
    if isinstance(config, ConservativeConfig):
        flop += conservative_term(config.batch_size, *shape, config.critics, 3 * config.actions_per_source)
    if isinstance(config, MobileConfig):
        _, model_rows = rows_of(config.batch_size, config.real_ratio)
        flop += bellman_inconsistency(model_rows, EnsembleConfig.elites, config.samples, MODEL, *shape, config.critics)
    return flop


def update_work(
    name: str, quick: bool, seeds: int = 1, rows: int = ROWS, repeats: int | None = None, **settings: Any
) -> Work:
    """A scan of updates, sampling included, less the time of the short rollout that an epoch begins with."""
    config: Any = ALGORITHMS[name].config(**settings)
    updates = _updates(config, quick)
    overhead = None
    if isinstance(config, RolloutConfig):
        config = replace(config, rollout_batch=BRANCHES, rollout_length=1)
        overhead = rollout_call(name, config, BRANCHES, 1, seeds)
    schedule = Schedule(updates, BRANCHES, 1, 1) if overhead else Schedule(updates)
    call, data = training(name, config, schedule, seeds, rows)
    networks = f"{len(config.hidden)}x{config.hidden[0]}"
    networks += f", {config.critics} critics" if isinstance(config, CriticConfig) else ""
    less = f", less a rollout of {BRANCHES} rows" if overhead else ""
    return Work(
        workload=f"{seeds} seed{'s' * (seeds > 1)}, batch {config.batch_size}, {networks}, {updates} updates{less}",
        unit="updates",
        count=seeds * updates,
        amount=seeds * updates * update_flop(config) / 1e9,
        call=call,
        repeats=repeats or (5 if quick else 7),
        overhead=overhead,
        extra={"rows": rows, "seeds": seeds, "data_mib": mebibytes(data.logged)},
    )


def epoch_work(name: str) -> Work:
    """One epoch of `orl train-policy` at its defaults: the rollout, then the updates.

    Of MOPO alone in the table: updates of COMBO take a hundred times as long as its rollout, and are measured above.
    """
    config = policy_config({"dataset": "made-up", "algorithm": name})
    algorithm, _ = algorithm_of(name, config.agent, config.train.steps)
    schedule, agent = schedule_of(config, algorithm), config.agent
    call, _ = training(name, agent, schedule, 1, ROWS)
    members = EnsembleConfig.members if name in ALL_MEMBERS else 1
    actor = actor_widths(OBS, agent.hidden, ACT)
    rolled = rollout(schedule.rollout_batch, schedule.rollout_length, members, MODEL, actor)
    return Work(
        workload=f"{schedule.rollout_batch} x {schedule.rollout_length} rollouts, then {schedule.updates} updates",
        unit="updates",
        count=schedule.updates,
        amount=(rolled + schedule.updates * update_flop(agent)) / 1e9,
        call=call,
        repeats=3,
    )


def _updates(config: Any, quick: bool) -> int:
    """As many updates a call as make it long enough to time."""
    if isinstance(config, ConservativeConfig | MobileConfig):
        return 4 if quick else 20
    if isinstance(config, CriticConfig):
        return 50 if quick else 100
    return 200 if quick else 500


def _update(name: str, seeds: int, setting: Setting, **settings: Any) -> Work:
    return update_work(name, setting.quick, seeds, **settings)


def _epoch(name: str, setting: Setting) -> Work:
    return epoch_work(name)


BENCHMARKS = [
    *(Benchmark(f"update-{name}", "updates", partial(_update, name, 1), quick=name in QUICK) for name in ALGORITHMS),
    Benchmark("update-morel-wide", "updates", partial(_update, "morel", 1, **WIDE), quick=False),
    *(
        Benchmark(f"update-{name}-{SEEDS}-seeds", "updates", partial(_update, name, SEEDS), quick=name == "mopo")
        for name in ALGORITHMS
    ),
    Benchmark("epoch-mopo", "epoch", partial(_epoch, "mopo"), quick=False),
]
