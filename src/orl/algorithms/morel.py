"""MOReL: halt where the members disagree (arXiv:2005.05951), with soft actor-critic as its planner.

Departs: the paper plans in the pessimistic MDP by natural policy gradient with rollouts of hundreds of steps from the
initial states; here the planner is the soft actor-critic of all the other algorithms, on branched rollouts, and the
members are the probabilistic networks of the shared ensemble, compared by their means in units of the training spread.
With `halt_value = "kappa"` the pessimistic MDP is the paper's definition; the default "offset" is the r_min - offset of
its experiments, paid once as in the off-policy re-implementations. That is pessimistic only if it lies below what the
log's own states are worth: with clearly negative rewards it does not, and halting would be sought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
from pydantic import Field

from orl.agents.config import DynaConfig
from orl.agents.sac import make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, dyna, ensemble_of
from orl.chunks import cached_rows, map_chunks
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.uncertainty import max_pairwise
from orl.mdp.halt import HaltParams, absorbing_value, discrepancy_threshold, halt, is_unknown
from orl.mdp.rollout import Rollout
from orl.mdp.step import make_step, uncertainty_scale
from orl.types import Array, Metrics, Transition

CHUNK = 65_536  # logged rows whose discrepancy is computed at a time where caches set no limit: the memory does


@dataclass(frozen=True)
class MorelConfig(DynaConfig):
    """Settings of MOReL.

    Attributes:
        threshold_rule: "mean_std": mean + beta * std of the log's discrepancies (paper); "max": beta * their maximum
            (official code). threshold_beta: beta of that rule.
        halt_value: "offset": HALT pays (smallest logged reward + halt_offset) once, in place of the reward;
            "kappa": exactly the paper's MDP, HALT pays -kappa per step for ever.
        halt_offset: added to the smallest logged reward, negative. Paper's candidates: -30, -50, -100, -200.
        kappa: per step; 0 takes the largest absolute logged reward, the theory's R_max.
    """

    threshold_rule: Literal["mean_std", "max"] = "mean_std"
    threshold_beta: Annotated[float, Field(ge=0)] = 5.0
    halt_value: Literal["offset", "kappa"] = "offset"
    halt_offset: float = -50.0
    kappa: Annotated[float, Field(ge=0)] = 0.0


def discrepancies(ensemble: Ensemble, params: EnsembleParams, rows: Transition) -> Array:
    """[N] max_{i,j} ||mu_i - mu_j|| of each logged state-action, in normalised next-observation units."""
    scale = uncertainty_scale(params, "standardised")

    def of(pairs: tuple[Array, Array]) -> Array:
        return max_pairwise(ensemble.predict(params, *pairs), scale)

    return map_chunks(of, (rows.obs, rows.action), cached_rows() or CHUNK)


def halt_value(config: MorelConfig, reward: Array) -> Array:
    """The HALT state's value from the logged rewards [N], by the configured rule."""
    if config.halt_value == "offset":
        return jnp.min(reward) + config.halt_offset
    kappa = jnp.asarray(config.kappa) if config.kappa else jnp.max(jnp.abs(reward))
    return absorbing_value(kappa, config.discount)


def build(config: MorelConfig, problem: Problem) -> Algorithm:
    """Soft actor-critic on logged rows and branched rollouts of the pessimistic MDP."""
    ensemble = ensemble_of(problem)
    sac = make_sac(config, problem.action_dim, problem.total_updates)
    bare = make_step(ensemble, problem.termination, "max_pairwise", "standardised")

    def world(model: EnsembleParams, logged: Transition) -> HaltParams:
        threshold = discrepancy_threshold(
            discrepancies(ensemble, model, logged), config.threshold_rule, config.threshold_beta
        )
        return HaltParams(model, threshold, halt_value(config, logged.reward))

    def rollout_metrics(world: HaltParams, rollout: Rollout) -> Metrics:
        halted = rollout.alive & is_unknown(world, rollout.uncertainty)
        return {
            "halted_share": jnp.sum(halted) / jnp.sum(rollout.alive),
            "discrepancy": jnp.sum(jnp.where(rollout.alive, rollout.uncertainty, 0.0)) / jnp.sum(rollout.alive),
            "threshold": world.threshold,
        }

    step = halt(bare, config.discount, bootstrapped=config.halt_value == "kappa")
    return dyna(config, problem, sac, step, world=world, rollout_metrics=rollout_metrics)


ENTRY = Entry(MorelConfig, build, "Dyna in an MDP that halts where the ensemble's members disagree")
