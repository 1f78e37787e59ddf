"""Settings of the soft actor-critic core that every off-policy algorithm here stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Discount = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class PolicyConfig:
    """What every learned policy has.

    Attributes:
        hidden: widths of the hidden layers. batch_size: rows per update.
        actor_learning_rate: of Adam. actor_cosine: let it fall to 0 along a cosine over the whole run.
        normalise_obs: standardise what the networks see, by the training split (off in the papers).
        layer_norm: LayerNorm after each hidden product (off in the papers).
    """

    hidden: tuple[Positive, ...] = (256, 256)
    batch_size: Positive = 256
    actor_learning_rate: Rate = 3e-4
    actor_cosine: bool = False
    normalise_obs: bool = False
    layer_norm: bool = False


@dataclass(frozen=True)
class SacConfig(PolicyConfig):
    """Soft actor-critic (arXiv:1812.05905).

    Attributes:
        critics: how many, the target takes their minimum. critic_learning_rate, alpha_learning_rate: of Adam.
        discount: per step. polyak: share of the new critic in the target critic at each update.
        initial_alpha: temperature at the start. target_entropy_per_dim: times |A| gives the entropy aimed at, in nats.
        deterministic_backup: leave the entropy out of the target.
    """

    critics: Positive = 2
    critic_learning_rate: Rate = 3e-4
    alpha_learning_rate: Rate = 3e-4
    discount: Discount = 0.99
    polyak: Share = 0.005
    initial_alpha: Rate = 1.0
    target_entropy_per_dim: float = -1.0
    deterministic_backup: bool = False


@dataclass(frozen=True)
class DynaConfig(SacConfig):
    """Soft actor-critic on logged and model transitions (MBPO, arXiv:1906.08253).

    Attributes:
        rollout_length: model steps per branch, h. rollout_batch: branches per epoch.
        rollout_start: branch from logged states ("data"), or from the first states of logged episodes ("initial").
        real_ratio: share of logged rows in a batch. retain_epochs: how many epochs' rollouts the buffer holds.
    """

    rollout_length: Positive = 5
    rollout_batch: Positive = 50_000
    rollout_start: Annotated[str, Field(pattern="^(data|initial)$")] = "data"
    real_ratio: Share = 0.05
    retain_epochs: Positive = 5
