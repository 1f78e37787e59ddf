"""Planners built from run folders: the plan function, its parameters, and the object that acts by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from orl.agents.state_value import ValueParams, init_value, state_value
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.errors import UsageError
from orl.mdp.member_step import make_member_step
from orl.mdp.penalty import penalise
from orl.planning import PLANNERS
from orl.planning.base import PlanFn
from orl.planning.receding import Planner
from orl.planning.shooting import PlannerParams
from orl.planning.stacking import over_history
from orl.runs.behaviour_values import value_of_behaviour
from orl.runs.checkpoints import Checkpoints, read_latest
from orl.runs.config_plan import PlanRunConfig, model_config, plan_config
from orl.runs.directory import RunDirectory, config_tree, load_run
from orl.runs.fit_model import FittedModel, load_model
from orl.runs.fit_sequence import FittedSequence, load_sequence
from orl.runs.model_supply import refuse_other_history, supply_model
from orl.runs.policy import rebuild, run_spec, stacked_params
from orl.runs.reporter import Reporter
from orl.runs.yardstick import bc_on
from orl.types import Params

KIND = "plan"


class Prior(NamedTuple):
    """The behaviour a planner keeps to: a cloned policy's function and parameters."""

    act: Any
    params: Params


def load_planner(path: str | Path, *, seed: int | None = None) -> Planner:
    """The planner in a run folder of `orl plan`, from the folder alone.

    Args:
        seed: which of the run's models; the first by default.

    Raises:
        DataError: not such a folder. UsageError: no such seed.
    """
    run = load_run(Path(path), KIND)
    seeds = list(plan_config(config_tree(run.path)).seeds)  # checked to be numbers, for they name folders
    if seed is not None and seed not in seeds:
        raise UsageError(f"{run.path} holds the seeds {seeds}, not {seed}")
    return planner_of(run, seeds[0] if seed is None else seed)


def planner_of(run: RunDirectory, seed: int) -> Planner:
    """The planner over the run's copy of the model of `seed`."""
    config = plan_config(config_tree(run.path))
    folder = run.path / "models" / f"s{seed}"
    if PLANNERS[config.planner].model == "transformer":
        plan, params = sequence_plan(config, load_sequence(folder))
    else:
        prior = load_prior(run.path / "prior") if config.plan.prior == "bc" else None
        value = load_value(run.path / "value", run_spec(run).stacked_dim) if uses_value(config) else None
        plan, params = ensemble_plan(config, load_model(folder), prior, value)
    return acting(config, plan, params, run_spec(run), seed)


def temporary_planner(
    dataset: Dataset, config: PlanRunConfig, *, root: Path, model: str | Path | None, reporter: Reporter
) -> tuple[Planner, Path]:
    """A planner without a run folder of its own, over the model named, found or fitted; and that model's folder."""
    kind = PLANNERS[config.planner].model
    if model is not None and config.history:
        refuse_other_history(model, config.history)
    fitted = supply_model(dataset, model_config(config, config.seeds[0]), root, model, kind, reporter)
    if isinstance(fitted, FittedSequence):
        plan, params = sequence_plan(config, fitted)
    else:
        prior, config = None, replace(config, history=fitted.ensemble.history)
        if config.plan.prior == "bc":
            prior = load_prior(bc_on(dataset.fingerprint, dataset.name, root, reporter, config.history))
        value = fit_value(dataset, config) if uses_value(config) else None
        plan, params = ensemble_plan(config, fitted, prior, value)
    return acting(config, plan, params, dataset.spec, config.seeds[0]), fitted.path


def acting(config: PlanRunConfig, plan: PlanFn, params: Params, spec: Any, seed: int) -> Planner:
    """The object that plans again and again."""
    return Planner(
        plan,
        params,
        spec,
        context=getattr(config.plan, "context", max(config.history, 1)),
        horizon=config.plan.horizon,
        plan_freq=config.plan.plan_freq,
        seed=seed,
    )


def sequence_plan(config: PlanRunConfig, fitted: FittedSequence) -> tuple[PlanFn, Params]:
    """The planner over a sequence model."""
    return PLANNERS[config.planner].build(config.plan, fitted.model), fitted.params


def ensemble_plan(
    config: PlanRunConfig, fitted: FittedModel, prior: Prior | None, value: ValueParams | None
) -> tuple[PlanFn, Params]:
    """The planner over an ensemble, its reward penalised where asked for."""
    settings = config.plan
    measure = None if settings.uncertainty == "none" or not settings.penalty_coef else settings.uncertainty
    step = make_member_step(fitted.ensemble, fitted.termination, measure, settings.uncertainty_units)
    if measure:
        step = penalise(step, settings.penalty_coef)
    behave = None if prior is None else lambda params, obs: prior.act(params, None, obs)
    plan = PLANNERS[config.planner].build(settings, step, behave, None if value is None else state_value)
    plan = over_history(plan, fitted.ensemble.history)
    return plan, PlannerParams(fitted.params, prior and prior.params, value)


def uses_value(config: PlanRunConfig) -> bool:
    """Whether the planner adds the behaviour's value after its last step."""
    return config.plan.terminal_value == "behaviour"


def load_prior(path: Path) -> Prior:
    """The cloned behaviour in a run folder of bc."""
    run = load_run(path, "policy")
    algorithm, _ = rebuild(run)
    return Prior(algorithm.act, jax.tree.map(lambda x: x[0], stacked_params(run)))


def fit_value(dataset: Dataset, config: PlanRunConfig) -> ValueParams:
    """The behaviour's value from the training side of the log, at the planner's discount."""
    return value_of_behaviour(
        with_history(dataset, config.history), config.model, config.plan.discount, config.seeds[0]
    )


def keep_value(dataset: Dataset, config: PlanRunConfig, folder: Path) -> None:
    """Fit the behaviour's value into a folder of a run, unless it is there."""
    checkpoints = Checkpoints(folder)
    if checkpoints.latest() is None:
        checkpoints.save(0, {"value": fit_value(dataset, config)})
    checkpoints.close()


def load_value(folder: Path, obs_dim: int) -> ValueParams:
    """The value that `keep_value` fitted."""
    _, items = read_latest(folder, value=jax.eval_shape(lambda: init_value(jax.random.key(0), obs_dim)))
    return items["value"]
