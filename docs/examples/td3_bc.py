"""TD3+BC: TD3 on the log whose actor is also drawn to the logged action (arXiv:2106.06860); no model.

Departs: the policy's gradient goes through the lower of both critics, where the paper takes the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orl.agents.behaviour_regularised import Anchors
from orl.agents.config import CriticConfig, NonNegative, Rate, Td3Config
from orl.agents.td3 import begin_at, make_td3
from orl.algorithms.base import Algorithm, Entry, Problem, policy_in
from orl.types import Array, Batch, Metrics, Params


@dataclass(frozen=True)
class Td3BcConfig(CriticConfig):
    """Settings of TD3+BC; the paper's values.

    Attributes:
        alpha: weight of Q against the mean squared distance from the logged action.
        policy_noise, noise_clip: of target policy smoothing, in units of the action's range [-1, 1].
    """

    normalise_obs: bool = True
    alpha: Rate = 2.5
    policy_noise: NonNegative = 0.2
    noise_clip: NonNegative = 0.5


def cloning_weight(alpha: float, action_dim: int) -> float:
    """Weight of the squared distance against Q / mean |Q|.

    The paper's loss -alpha Q / mean |Q| + mean over dimensions of (pi(s) - a)^2, divided by alpha.
    """
    return 1.0 / (alpha * action_dim)


def build(config: Td3BcConfig, problem: Problem) -> Algorithm:
    """TD3 with the cloning term in its actor alone."""
    settings = Td3Config(
        hidden=config.hidden,
        batch_size=config.batch_size,
        actor_learning_rate=config.actor_learning_rate,
        actor_cosine=config.actor_cosine,
        normalise_obs=config.normalise_obs,
        layer_norm=config.layer_norm,
        critic_layer_norm=config.layer_norm,
        critics=config.critics,
        critic_learning_rate=config.critic_learning_rate,
        discount=config.discount,
        polyak=config.polyak,
        policy_noise=config.policy_noise,
        noise_clip=config.noise_clip,
        actor_bc_coef=cloning_weight(config.alpha, problem.action_dim),
        critic_bc_coef=0.0,
    )
    td3 = make_td3(settings, problem.action_dim, problem.total_updates)

    def update(key: Array, state: Any, batch: Batch, world: Params) -> tuple[Any, Metrics]:
        return td3.update(key, state, batch.real, Anchors(batch.real.action, batch.real_next))

    return Algorithm(td3.init, update, policy_in, td3.act, real_rows=config.batch_size, real_next=True, adopt=begin_at)


ENTRY = Entry(Td3BcConfig, build, "TD3 with a cloning term in its actor, no model", needs_model=False)
