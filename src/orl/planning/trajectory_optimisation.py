"""Settings that every planner by trajectory optimisation shares, and the types they are checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from orl.errors import UsageError
from orl.planning.base import check_plan_freq

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class TrajectoryConfig:
    """What a planner that searches for H actions is asked to optimise.

    The planner itself reads `horizon` and `discount`. The others say what is to be planned in and are read by whoever
    builds it: it gets a `StepFn` that is already penalised (`mdp.penalty`), and a prior and a value, or None.

    Attributes:
        horizon: H, model steps planned ahead.
        discount: per step, of rewards and of the terminal value.
        penalty_coef: reward units taken off per unit of uncertainty and step; 0 plans in the bare model.
        uncertainty: what is penalised, a key of UNCERTAINTIES, or "none".
        uncertainty_units: "raw", or "standardised" by the training split's spread per dimension.
        prior: actions to start from: "bc", a behaviour-cloned policy, or "none".
        plan_freq: steps acted before planning again.
        terminal_value: what a state is worth after H steps: "behaviour", the log's own value, or "none" for 0.
    """

    horizon: Positive = 15
    discount: Annotated[float, Field(gt=0, le=1)] = 0.99
    penalty_coef: NonNegative = 0.0
    uncertainty: Literal["none", "max_std", "max_deviation", "max_pairwise", "ensemble_std", "mixture_std"] = "none"
    uncertainty_units: Literal["raw", "standardised"] = "raw"
    prior: Literal["bc", "none"] = "bc"
    terminal_value: Literal["behaviour", "none"] = "behaviour"
    plan_freq: Positive = 1

    def __post_init__(self) -> None:
        check_plan_freq(self.plan_freq, self.horizon)
        if self.penalty_coef > 0 and self.uncertainty == "none":
            raise UsageError(
                f"plan.penalty_coef is {self.penalty_coef} and plan.uncertainty none: say what is to be penalised"
            )
