"""The settings of a judgement without a simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from orl.config import build
from orl.evaluation.ope.behaviour import BehaviourConfig
from orl.evaluation.ope.fqe import FqeConfig
from orl.runs.calibration import SHARE


@dataclass(frozen=True)
class OpeConfig:
    """How policies are judged from a log.

    Attributes:
        discount: per step, at which all candidates are compared; None for the one they were trained with. It takes no
            training to judge further than that: 0.97 looks some 30 steps ahead, an episode of 200 is judged at 0.99.
        folds: parts of the log's episodes; each is judged by what was fitted without it.
        seed: of folds, fits, rollouts and resampling; the same for every candidate, so that they share their luck.
        model_starts: logged first observations that the model is rolled out from, at most.
        model_horizon: steps of those rollouts; 0 for the longest logged episode, or fewer where what comes later
            counts for less than 1%.
        penalty_share: share of held-out rows whose error the penalised model's price has to cover.
        fqe: of fitted Q evaluation. behaviour: of the behaviour's density.
    """

    discount: Annotated[float, Field(gt=0, lt=1)] | None = None
    folds: Annotated[int, Field(ge=2)] = 2
    seed: Annotated[int, Field(ge=0)] = 0
    model_starts: Annotated[int, Field(ge=2)] = 100
    model_horizon: Annotated[int, Field(ge=0)] = 0
    penalty_share: Annotated[float, Field(gt=0, lt=1)] = SHARE
    fqe: FqeConfig = field(default_factory=FqeConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)


@dataclass(frozen=True)
class OpeRunConfig:
    """The settings' file: one table, `ope`."""

    ope: OpeConfig = field(default_factory=OpeConfig)


def resolve_ope(overrides: dict[str, Any]) -> OpeConfig:
    """Defaults, then `overrides`, such as {"ope": {"folds": 3, "fqe": {"updates": 1000}}}."""
    return build(OpeRunConfig, overrides).ope
