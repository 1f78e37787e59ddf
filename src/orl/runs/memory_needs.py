"""The memory plans of the runs there are. Shapes come from the functions that make the arrays; none is made here."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.algorithms.epoch import TrainData, TrainState
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.data.normalise import identity_normaliser
from orl.data.split import SPLIT_SEED, Split, split_by_episode
from orl.dynamics import fit as ensemble_fit
from orl.runs import machine
from orl.runs.config import FitRunConfig, PolicyRunConfig, SequenceRunConfig
from orl.runs.config_plan import PlanRunConfig, model_config
from orl.runs.ensembles import ensemble_for, params_template
from orl.runs.loading import transitions
from orl.runs.memory_plan import Line, MemoryPlan, tree_bytes, working_bytes
from orl.runs.program import Program, initial_states, program_of
from orl.runs.seeds import epoch_keys, model_keys, seed_keys
from orl.runs.sequences import bare_discretiser, log_of
from orl.runs.sequences import params_template as sequence_template
from orl.sequence import fit as sequence_fit
from orl.sequence.model import SequenceModel
from orl.sequence.tokens import TokenStore, token_store
from orl.types import Transition

COMPILER = 300_000_000  # bytes XLA holds on the host at most while it compiles an epoch, as measured
TEMPORARIES = "temporary arrays of an epoch, at least"


def policy_plan(dataset: Dataset, config: PolicyRunConfig, program: Program | None = None) -> MemoryPlan:
    """The plan of `orl train-policy`, without the fit of a model that comes before it.

    Args:
        program: the run's program, where the caller has it: tracing it here then saves tracing it again.
    """
    dataset = with_history(dataset, config.history)
    program = program or program_of(config, dataset)
    split = _split(dataset, config.model)
    states, keys, data = policy_shapes(dataset, config, program, split)
    seeds = len(config.seeds)
    agent = states.agent._asdict()
    optimisers = {name: part for name, part in agent.items() if name.endswith("_opt")}
    networks = {name: part for name, part in agent.items() if name not in optimisers}
    held_out = rows_template(dataset, len(split.holdout_rows))
    lines = [
        *_host_lines(dataset),
        Line("dataset on the device", tree_bytes((data.logged, held_out))),  # states to branch from are the same array
        Line("world model", tree_bytes(data.world), lower="model.hidden, model.members"),
        Line(
            "rollout buffer",
            tree_bytes(states.ring) // seeds,
            per_seed=True,
            lower="agent.rollout_batch, agent.rollout_length, agent.retain_epochs",
        ),
        Line("networks", tree_bytes(networks) // seeds, per_seed=True, lower="agent.hidden"),
        Line("optimiser state", tree_bytes(optimisers) // seeds, per_seed=True, lower="agent.hidden"),
        Line("best policy so far", tree_bytes(program.algorithm.policy(states.agent)) // seeds, per_seed=True),
    ]
    if seeds > 1 and config.seed_axis == "map":
        lines.append(Line("states of the seeds, taken apart and put together", 2 * tree_bytes(states)))
    lower = "agent.rollout_batch, agent.batch_size" if program.algorithm.step else "agent.batch_size"
    lines.append(Line(TEMPORARIES, working_bytes(program.epoch_fn, states, keys, data), lower=lower))
    return MemoryPlan(f"training {config.algorithm}", _there(lines), seeds)


def policy_shapes(
    dataset: Dataset, config: PolicyRunConfig, program: Program, split: Split | None = None
) -> tuple[TrainState, Any, TrainData]:
    """Shapes of what the program takes: states, keys and data."""
    rows = len((split or _split(dataset, config.model)).train_rows)
    spec, algorithm = dataset.spec, program.algorithm
    states = jax.eval_shape(lambda: initial_states(config, program, identity_normaliser(spec.stacked_dim), spec))
    keys = jax.eval_shape(lambda: epoch_keys(seed_keys(config.seeds), 0))
    model = params_template(ensemble_for(config.model, dataset)[0]) if algorithm.step else None
    logged = rows_template(dataset, rows)
    count = dataset.n_episodes if getattr(config.agent, "rollout_start", "data") == "initial" else rows
    starts: Any = jax.ShapeDtypeStruct((count, spec.stacked_dim), jnp.float32)
    world = jax.eval_shape(algorithm.world, model, logged) if algorithm.step else ()
    follows: Any = jax.ShapeDtypeStruct((rows,), jnp.bool_) if algorithm.real_next else ()
    return states, keys, TrainData(logged, starts, world, follows)


def ensemble_plan(dataset: Dataset, config: FitRunConfig) -> MemoryPlan:
    """The plan of `orl fit-model`."""
    dataset = with_history(dataset, config.history)
    ensemble, _ = ensemble_for(config.model, dataset)
    split = _split(dataset, config.model)
    params = params_template(ensemble)
    rows = [rows_template(dataset, len(side)) for side in (split.train_rows, split.holdout_rows)]
    units = [jax.eval_shape(ensemble_fit.fit_data, params, side) for side in rows]
    state = jax.eval_shape(lambda: ensemble_fit.init_fit(ensemble, jax.tree.map(_zeros, params)))
    root = jax.eval_shape(lambda: model_keys(config.seed)[1])
    temporaries = working_bytes(ensemble_fit.make_epoch(ensemble), state, root, *units)
    optimiser = tree_bytes(state.opt_state)
    best = tree_bytes((state.best_net, state.best_termination))
    lines = [
        *_host_lines(dataset),
        Line("rows in the networks' units", tree_bytes(units)),
        Line("held-out rows", tree_bytes(rows[1]), lower="model.holdout_max_rows"),
        Line("ensemble", tree_bytes(state.params), lower="model.hidden, model.members"),
        Line("optimiser state", optimiser, lower="model.hidden, model.members"),
        Line("best members so far", best, lower="model.hidden, model.members"),
        # the logged rows are let go before the first epoch
        Line(TEMPORARIES, max(temporaries, tree_bytes(rows[0])), lower="model.members, model.batch_size"),
    ]
    return MemoryPlan("fitting the ensemble", _there(lines))


def sequence_plan(dataset: Dataset, config: SequenceRunConfig) -> MemoryPlan:
    """The plan of `orl fit-model --kind transformer`."""
    model = SequenceModel(config.model, dataset.spec.obs_dim, dataset.spec.action_dim)
    split = _split(dataset, config.model)
    params = sequence_template(model)
    stores = [store_template(dataset, model, len(side)) for side in (split.train_rows, split.holdout_rows)]
    state = jax.eval_shape(lambda: sequence_fit.init_fit(model, jax.tree.map(_zeros, params)))
    root = jax.eval_shape(lambda: model_keys(config.seed)[1])
    lines = [
        *_host_lines(dataset),
        Line("tokens", tree_bytes(stores)),
        Line("network", tree_bytes(state.net), lower="model.width, model.layers"),
        Line("optimiser state", tree_bytes(state.opt_state), lower="model.width, model.layers"),
        Line("best network so far", tree_bytes(state.best_net), lower="model.width, model.layers"),
        Line(
            TEMPORARIES,
            working_bytes(sequence_fit.make_epoch(model), state, params, root, *stores),
            lower="model.chunk, model.window",
        ),
    ]
    return MemoryPlan(f"fitting the {config.model.arch}", _there(lines))


def planner_plan(dataset: Dataset, config: PlanRunConfig) -> MemoryPlan:
    """The plan of `orl plan`: data and models; what a planner holds while it searches is not in it."""
    fit = model_config(config, config.seeds[0])
    if isinstance(fit, FitRunConfig):
        model = tree_bytes(params_template(ensemble_for(fit.model, with_history(dataset, fit.history))[0]))
    else:
        model = tree_bytes(sequence_template(SequenceModel(fit.model, dataset.spec.obs_dim, dataset.spec.action_dim)))
    lines = [*_host_lines(dataset), Line("model", model)]  # planners of several seeds act one after the other
    return MemoryPlan(f"planning by {config.planner}", _there(lines))


def rows_template(dataset: Dataset, rows: int) -> Transition:
    """The shapes of so many transitions on the device, from those of a single one."""
    return _taller(transitions(dataset, np.arange(1)), rows)


def store_template(dataset: Dataset, model: SequenceModel, rows: int) -> TokenStore:
    """The shapes of the tokens of so many rows (windows may begin at every one), from those of a single one."""
    return _taller(token_store(log_of(dataset, np.arange(1)), bare_discretiser(model), model.config), rows)


def _taller(tree: Any, rows: int) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), tree)


def _zeros(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    return jnp.zeros(leaf.shape, leaf.dtype)


def _split(dataset: Dataset, model: Any) -> Split:
    return split_by_episode(dataset, model.holdout_fraction, SPLIT_SEED, model.holdout_max_rows)


def host_bytes(dataset: Dataset) -> int:
    """Bytes of a dataset's rows in the host's memory."""
    arrays = (dataset.obs, dataset.action, dataset.reward, dataset.next_obs, dataset.terminated, dataset.truncated)
    return sum(array.nbytes for array in arrays)


def _host_lines(dataset: Dataset) -> list[Line]:
    """The dataset as it was read, and the program that reads it."""
    held = max(machine.held_memory() - host_bytes(dataset), 0)
    return [
        Line("program and compiler", held + COMPILER, place="host"),
        Line("dataset on the host", host_bytes(dataset), place="host"),
    ]


def _there(lines: list[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.bytes)
