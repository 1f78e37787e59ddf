"""MOBILE: the inconsistency of the members' Bellman backups is subtracted from the target of model rows.

Reference: Sun et al., Model-Bellman Inconsistency for Model-based Offline Reinforcement Learning, ICML 2023; settings
after its authors' code. Rewards of the buffer are the model's own: the penalty is computed at each update, by the
current target critics.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from orl.agents.actor import SampleFn, make_actor, make_sample
from orl.agents.config import DynaConfig, NonNegative, Positive, Rate
from orl.agents.sac import Backup, SacState, critic_values, make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, dyna, ensemble_of
from orl.chunks import cached_rows, map_chunks
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.errors import UsageError
from orl.mdp.step import make_step, sample_elites
from orl.types import Array, Batch, Metrics, Transition


@dataclass(frozen=True)
class MobileConfig(DynaConfig):
    """Settings of MOBILE.

    Attributes:
        penalty_coef: beta, weight of the inconsistency, which is in units of returns.
        samples: next observations drawn from each elite.
        nonnegative_targets: raise negative targets to 0, as the paper's code does. With negative rewards that hides
            what they cost.
    """

    max_alpha: Rate | None = 1.0
    deterministic_backup: bool = True
    penalty_coef: NonNegative = 1.0
    samples: Positive = 10
    nonnegative_targets: bool = True


def bellman_inconsistency(values: Array) -> Array:
    """u(s, a) [...]: spread over the elites of the mean over samples of V(s'), from values [..., elites, samples].

    The sample standard deviation (ddof 1), as in the authors' code; no discount in it.
    """
    return jnp.std(jnp.mean(values, axis=-1), axis=-1, ddof=1)


def inconsistency(
    config: MobileConfig,
    ensemble: Ensemble,
    sample: SampleFn,
    key: Array,
    state: SacState,
    world: EnsembleParams,
    rows: Transition,
) -> Array:
    """u(s, a) [B] of the rows by the current policy and target critics: V(s') = min_k Q_k(s', a'), a' ~ pi(s')."""
    q, normaliser = critic_values(config), state.policy.normaliser
    next_key, action_key = jax.random.split(key)
    next_obs = sample_elites(ensemble, world, next_key, rows.obs, rows.action, config.samples)
    draws = ensemble.config.elites * config.samples

    def one(row: tuple[Array, Array]) -> Array:
        next_obs, key = row  # [elites, samples, O]
        action, _ = sample(state.policy, key, next_obs)
        return bellman_inconsistency(jnp.min(q(state.target_critic, normaliser, next_obs, action), axis=0))

    size = cached_rows()
    keys = jax.random.split(action_key, rows.reward.shape[0])
    return map_chunks(jax.vmap(one), (next_obs, keys), None if size is None else max(1, size // draws))


def mobile_backup(config: MobileConfig, ensemble: Ensemble, sample: SampleFn) -> Backup:
    """Subtracts beta * u from the targets of model rows; logged rows have no penalty."""

    def backup(
        key: Array, state: SacState, batch: Batch, world: EnsembleParams, target: Array
    ) -> tuple[Array, Metrics]:
        unsure = inconsistency(config, ensemble, sample, key, state, world, batch.model)
        penalty = jnp.concatenate([jnp.zeros_like(batch.real.reward), config.penalty_coef * unsure])
        target = target - penalty
        rows = max(unsure.shape[0], 1)
        metrics = {"uncertainty": jnp.sum(unsure) / rows, "penalty": jnp.sum(penalty) / rows}
        if config.nonnegative_targets:
            metrics["raised_targets"] = jnp.mean(target < 0.0)
            target = jnp.maximum(target, 0.0)
        return target, metrics

    return backup


def build(config: MobileConfig, problem: Problem) -> Algorithm:
    """Soft actor-critic on logged rows and branched rollouts of the bare model, its targets penalised.

    Raises:
        UsageError: one elite has no spread.
    """
    ensemble = ensemble_of(problem)
    if ensemble.config.elites < 2:
        raise UsageError("model.elites is 1; mobile compares the elites and needs two or more")
    backup = mobile_backup(config, ensemble, make_sample(make_actor(config, problem.action_dim)))
    sac = make_sac(config, problem.action_dim, problem.total_updates, backup=backup)
    return dyna(config, problem, sac, make_step(ensemble, problem.termination))


def caution(config: MobileConfig, logged: Transition) -> str:
    """What a user should know of targets that cannot be negative, where logged rewards are."""
    share = float(jnp.mean(logged.reward < 0.0))
    if not config.nonnegative_targets or share == 0.0:
        return ""
    return (
        f"{100 * share:.3g}% of the logged rewards are negative, and agent.nonnegative_targets raises targets below 0"
        " to 0, so values below 0 are not learned; --set agent.nonnegative_targets=false keeps them"
    )


ENTRY = Entry(
    MobileConfig, build, "Dyna with the inconsistency of the members' backups in its targets", caution=caution
)
