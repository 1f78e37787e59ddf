"""The settings of `orl plan`, from which it can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from orl.config import Preset, as_tree, build, did_you_mean, find_presets, merge
from orl.dynamics.config import EnsembleConfig
from orl.errors import UsageError
from orl.planning import PLANNERS
from orl.runs.config import FitRunConfig, PastSteps, SequenceRunConfig, of_ensembles
from orl.sequence.config import TransformerConfig

MODELS: dict[str, type[Any]] = {"transformer": TransformerConfig, "ensemble": EnsembleConfig}


@dataclass(frozen=True)
class PlanRunConfig:
    """Dataset, planner, seeds of the models to plan under (one planner each), settings of the model and the planner.

    `model` and `plan` are of the planner's own classes; `history` is the ensemble's (transformers have a window).
    """

    dataset: str
    planner: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    model: Any = None
    plan: Any = None
    history: PastSteps = 0


def resolve_plan(dataset: str, planner: str, overrides: dict[str, Any]) -> tuple[PlanRunConfig, list[Preset]]:
    """The settings of a plan: defaults, presets of the model and of the planner, then `overrides`.

    Raises:
        UsageError: no such planner, or what `config.build` refuses.
    """
    _check(planner)
    values: dict[str, Any] = {}
    if PLANNERS[planner].model == "ensemble":
        presets = find_presets(dataset, None)
        values = of_ensembles(presets)
    else:
        presets = find_presets(dataset, "transformer", explicit=True)
        for preset in presets:
            values = merge(values, preset.settings)
    own = find_presets(dataset, planner, explicit=True)
    for preset in own:
        values = merge(values, preset.settings)
    values = merge(values, {"dataset": dataset, "planner": planner} | overrides)
    return plan_config(values), presets + [preset for preset in own if preset not in presets]


def plan_config(values: dict[str, Any]) -> PlanRunConfig:
    """A `PlanRunConfig` from plain values, its tables read by the classes of its planner.

    Raises:
        UsageError: no such planner, or what `config.build` refuses.
    """
    planner = str(values.get("planner", ""))
    _check(planner)
    tables = {}
    for name, cls in (("model", MODELS[PLANNERS[planner].model]), ("plan", PLANNERS[planner].config)):
        table = values.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"setting {name} is a table of settings, not {table!r}")
        tables[name] = build(cls, table, f"{name}.")
    rest = {key: value for key, value in values.items() if key not in tables}
    config = build(PlanRunConfig, rest)
    if config.history and PLANNERS[planner].model == "transformer":
        raise UsageError(
            f"history {config.history}: {planner} plans under a transformer, which reads the past itself; "
            "leave history out and --set model.window and plan.context"
        )
    return replace(config, **tables)


def model_config(config: PlanRunConfig, seed: int) -> FitRunConfig | SequenceRunConfig:
    """The fit that the planner of `seed` needs."""
    if PLANNERS[config.planner].model == "ensemble":
        return FitRunConfig(config.dataset, seed, config.model, config.history)
    return SequenceRunConfig(config.dataset, seed, config.model)


def same_settings(one: Any, other: Any) -> bool:
    """Whether two settings say the same."""
    return as_tree(one) == as_tree(other)


def _check(planner: str) -> None:
    if planner not in PLANNERS:
        raise UsageError(f"unknown planner {planner!r}{did_you_mean(planner, PLANNERS)}")
