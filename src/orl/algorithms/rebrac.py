"""ReBRAC: TD3 held near the logged actions in actor and critic (arXiv:2305.09836); no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orl.agents.behaviour_regularised import Anchors
from orl.agents.config import Td3Config
from orl.agents.td3 import begin_at, make_td3
from orl.algorithms.base import Algorithm, Entry, Problem, policy_in
from orl.types import Array, Batch, Metrics, Params


@dataclass(frozen=True)
class RebracConfig(Td3Config):
    """Settings of ReBRAC. The paper chooses both coefficients for each dataset, from 0 to 0.5."""


def build(config: RebracConfig, problem: Problem) -> Algorithm:
    """Behaviour-regularised TD3 on logged rows. After an episode's last step no next action is known, nor penalised."""
    td3 = make_td3(config, problem.action_dim, problem.total_updates)

    def update(key: Array, state: Any, batch: Batch, world: Params) -> tuple[Any, Metrics]:
        return td3.update(key, state, batch.real, Anchors(batch.real.action, batch.real_next))

    return Algorithm(td3.init, update, policy_in, td3.act, real_rows=config.batch_size, real_next=True, adopt=begin_at)


ENTRY = Entry(RebracConfig, build, "TD3 held near the logged actions in actor and critic, no model", needs_model=False)
