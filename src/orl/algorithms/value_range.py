"""How large the values of critics can be: what the data's rewards allow, and what an algorithm adds to rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orl.agents.config import CriticConfig, PolicyConfig, SacConfig, Td3Config
from orl.agents.regularisers import ConservativeConfig
from orl.algorithms.mobile import MobileConfig
from orl.algorithms.mopo import PenaltyConfig
from orl.algorithms.morel import MorelConfig


class ValueRange(NamedTuple):
    """The lowest and the highest value, in return units."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """How far a value goes towards its end of the range; 1 at the end, more beyond."""
        return value / (self.high if value > 0 else self.low)


def value_range(
    config: PolicyConfig, action_dim: int, largest_reward: float, metrics: Mapping[str, float]
) -> ValueRange | None:
    """What discounted sums of an algorithm's rewards can be: at most (max |r| + what it adds) / (1 - discount).

    Penalties make low values legitimate, not high ones, so they widen the range downwards only. None where there is no
    critic, or all rewards are zero.

    Args:
        largest_reward: max |r| of the data. metrics: of the epoch, for what is only known then.
    """
    if not isinstance(config, CriticConfig) or largest_reward == 0.0:
        return None
    both = largest_reward + entropy_bonus(config, metrics) + conservative_lift(config)
    down = both + penalty(config, largest_reward, metrics) + distance_penalty(config, action_dim)
    return ValueRange(-(down / (1.0 - config.discount) + halt_penalty(config)), both / (1.0 - config.discount))


def entropy_bonus(config: CriticConfig, metrics: Mapping[str, float]) -> float:
    """alpha |H| per step, where targets hold the entropy; alpha counts as it began at most, for it can explode too.

    Reference: the soft value of arXiv:1812.05905.
    """
    if not isinstance(config, SacConfig) or config.deterministic_backup:
        return 0.0
    return min(metrics["alpha"], config.initial_alpha) * abs(metrics["entropy"])


def conservative_lift(config: CriticConfig) -> float:
    """beta per step: (Q - y)^2 / 2 - beta Q, the most the term can lift a logged pair, is least at Q = y + beta.

    Reference: the conservative term of arXiv:2006.04779 with the 0.5 of the squared error; a learned beta counts as it
    began.
    """
    return config.conservative_weight if isinstance(config, ConservativeConfig) else 0.0


def penalty(config: CriticConfig, largest_reward: float, metrics: Mapping[str, float]) -> float:
    """Mean penalty per step of the epoch's model rows (MOPO, MoBRAC, MOBILE).

    MOBILE's is a spread of values: it counts up to the largest reward, or values could excuse themselves.
    """
    found = metrics.get("penalty", 0.0)
    if isinstance(config, MobileConfig):
        return min(found, largest_reward)
    return found if isinstance(config, PenaltyConfig) else 0.0


def distance_penalty(config: CriticConfig, action_dim: int) -> float:
    """beta_2 times the largest squared distance of two actions in [-1, 1]^A, 4 A (ReBRAC, arXiv:2305.09836; MoBRAC)."""
    return 4.0 * action_dim * config.critic_bc_coef if isinstance(config, Td3Config) else 0.0


def halt_penalty(config: CriticConfig) -> float:
    """What HALT costs in all, beyond what rewards allow anyway (MOReL; `algorithms.morel` has the two forms)."""
    if not isinstance(config, MorelConfig):
        return 0.0
    return -min(config.halt_offset, 0.0) if config.halt_value == "offset" else config.kappa / (1.0 - config.discount)
