"""MBPO without pessimism, offline: Dyna on the bare model. The baseline that gets exploited."""

from __future__ import annotations

from dataclasses import dataclass

from orl.agents.config import DynaConfig
from orl.agents.sac import make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, dyna, ensemble_of
from orl.mdp.step import make_step


@dataclass(frozen=True)
class MbpoConfig(DynaConfig):
    """Settings of offline MBPO (arXiv:1906.08253)."""


def build(config: MbpoConfig, problem: Problem) -> Algorithm:
    """Soft actor-critic on logged rows and branched rollouts of the bare model."""
    sac = make_sac(config, problem.action_dim, problem.total_updates)
    return dyna(config, problem, sac, make_step(ensemble_of(problem), problem.termination))


ENTRY = Entry(MbpoConfig, build, "Dyna on the bare model, no pessimism")
