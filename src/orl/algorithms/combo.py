"""COMBO: a conservative critic on logged and model rows, with no reward penalty (arXiv:2102.08363)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orl.agents.actor import make_act, make_actor, make_sample, uniform_act
from orl.agents.config import DynaConfig, NonNegative, Positive, Rate, Share
from orl.agents.regularisers import ConservativeConfig, conservative_regulariser
from orl.agents.sac import critic_values, join, make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, dyna, ensemble_of
from orl.errors import UsageError
from orl.mdp.step import make_step
from orl.types import Array, Batch


@dataclass(frozen=True)
class ComboConfig(ConservativeConfig, DynaConfig):
    """Settings of COMBO.

    Attributes:
        rho: states at which Q is pushed down: the model's ("model"), or the whole batch ("mixture", d_f).
        rollout_policy: "policy" (the current one) or "uniform".
        real_ratio: the paper's f, 0.5 or 0.8.
    """

    hidden: tuple[Positive, ...] = (256, 256, 256)
    actor_learning_rate: Rate = 1e-4
    deterministic_backup: bool = True
    real_ratio: Share = 0.5
    conservative_weight: NonNegative = 0.5
    rho: Literal["model", "mixture"] = "mixture"
    rollout_policy: Literal["policy", "uniform"] = "policy"

    def __post_init__(self) -> None:
        logged_rows = int(self.batch_size * self.real_ratio)
        if logged_rows == 0:
            raise UsageError(f"agent.real_ratio {self.real_ratio}: COMBO pushes Q up on logged rows and needs some")
        if self.rho == "model" and logged_rows == self.batch_size:
            raise UsageError(f"agent.real_ratio {self.real_ratio} leaves no model rows, which agent.rho = model needs")


def build(config: ComboConfig, problem: Problem) -> Algorithm:
    """Conservative soft actor-critic on logged rows and branched rollouts of the bare model."""

    def rho(batch: Batch) -> tuple[Array, Array]:
        rows = batch.model if config.rho == "model" else join(batch)
        return rows.obs, rows.next_obs

    actor = make_actor(config, problem.action_dim)
    regulariser = conservative_regulariser(config, critic_values(config), make_sample(actor), problem.action_dim, rho)
    sac = make_sac(config, problem.action_dim, problem.total_updates, regulariser)
    rollout_act = make_act(actor) if config.rollout_policy == "policy" else uniform_act(problem.action_dim)
    step = make_step(ensemble_of(problem), problem.termination)
    return dyna(config, problem, sac, step, rollout_act=rollout_act)


ENTRY = Entry(ComboConfig, build, "conservative critic on logged and model rows, no reward penalty")
