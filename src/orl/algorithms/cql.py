"""CQL: the conservative critic on logged rows alone (arXiv:2006.04779), the model-free core of COMBO."""

from __future__ import annotations

from dataclasses import dataclass

from orl.agents.actor import make_act, make_actor, make_sample
from orl.agents.config import NonNegative, Positive, Rate, SacConfig
from orl.agents.regularisers import ConservativeConfig, conservative_regulariser
from orl.agents.sac import critic_values, make_sac
from orl.algorithms.base import Algorithm, Entry, Problem, policy_in


@dataclass(frozen=True)
class CqlConfig(ConservativeConfig, SacConfig):
    """Settings of CQL; sizes and rates after OfflineRL-Kit, whose weight 5 without the 0.5 is the 2.5 here."""

    hidden: tuple[Positive, ...] = (256, 256, 256)
    actor_learning_rate: Rate = 1e-4
    deterministic_backup: bool = True
    conservative_weight: NonNegative = 2.5


def build(config: CqlConfig, problem: Problem) -> Algorithm:
    """Soft actor-critic on logged rows whose critic is pushed down at out-of-data actions."""
    actor = make_actor(config, problem.action_dim)
    regulariser = conservative_regulariser(
        config,
        critic_values(config),
        make_sample(actor),
        problem.action_dim,
        rho=lambda batch: (batch.real.obs, batch.real.next_obs),
    )
    sac = make_sac(config, problem.action_dim, problem.total_updates, regulariser)
    return Algorithm(sac.init, sac.update, policy_in, make_act(actor), real_rows=config.batch_size, adopt=sac.begin_at)


ENTRY = Entry(CqlConfig, build, "conservative critic on the log alone, no model", needs_model=False)
