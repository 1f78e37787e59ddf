"""MOPO: the model's reward less a multiple of its uncertainty (arXiv:2005.13239)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
from pydantic import Field

from orl.agents.config import DynaConfig
from orl.agents.sac import make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, dyna, ensemble_of
from orl.dynamics.ensemble import Ensemble
from orl.mdp.penalty import penalise
from orl.mdp.rollout import Rollout
from orl.mdp.step import make_step
from orl.types import Metrics, Params, StepFn


@dataclass(frozen=True)
class PenaltyConfig:
    """Settings of the penalty.

    Attributes:
        penalty_coef: lambda, reward units per unit of uncertainty.
        uncertainty: u, a key of UNCERTAINTIES; the paper's experiments use max_std.
        uncertainty_units: "raw" as in the paper, or "standardised" by the training split's spread per dimension.
    """

    penalty_coef: Annotated[float, Field(ge=0)] = 1.0
    uncertainty: Literal["max_std", "max_deviation", "max_pairwise", "ensemble_std", "mixture_std"] = "max_std"
    uncertainty_units: Literal["raw", "standardised"] = "raw"


@dataclass(frozen=True)
class MopoConfig(PenaltyConfig, DynaConfig):
    """Settings of MOPO."""


def penalised_step(config: PenaltyConfig, ensemble: Ensemble, termination: str) -> StepFn:
    """The model whose reward is lower by lambda * u, as the settings say."""
    return penalise(make_step(ensemble, termination, config.uncertainty, config.uncertainty_units), config.penalty_coef)


def penalty_metrics(config: PenaltyConfig) -> Callable[[Params, Rollout], Metrics]:
    """Mean uncertainty and penalty over the live steps of a rollout."""

    def rollout_metrics(world: Params, rollout: Rollout) -> Metrics:
        alive = rollout.alive
        mean_u = jnp.sum(jnp.where(alive, rollout.uncertainty, 0.0)) / jnp.sum(alive)
        return {"uncertainty": mean_u, "penalty": config.penalty_coef * mean_u}

    return rollout_metrics


def build(config: MopoConfig, problem: Problem) -> Algorithm:
    """Soft actor-critic on logged rows and branched rollouts of the penalised model."""
    sac = make_sac(config, problem.action_dim, problem.total_updates)
    step = penalised_step(config, ensemble_of(problem), problem.termination)
    return dyna(config, problem, sac, step, rollout_metrics=penalty_metrics(config))


ENTRY = Entry(MopoConfig, build, "Dyna with the model's uncertainty subtracted from its reward")
