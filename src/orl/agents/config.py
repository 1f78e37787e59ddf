"""Settings of the actors and critics that the off-policy algorithms here stand on."""

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
class CriticConfig(PolicyConfig):
    """What every actor with a critic has.

    Attributes:
        critics: how many Q-functions; the target takes their minimum. critic_learning_rate: of Adam.
        discount: per step. polyak: share of the new network in a target network at each of its updates.
    """

    critics: Positive = 2
    critic_learning_rate: Rate = 3e-4
    discount: Discount = 0.99
    polyak: Share = 0.005


@dataclass(frozen=True)
class SacConfig(CriticConfig):
    """Soft actor-critic (arXiv:1812.05905).

    Attributes:
        alpha_learning_rate: of Adam. initial_alpha: temperature at the start. max_alpha: it never exceeds this.
        target_entropy_per_dim: times |A| gives the entropy aimed at, in nats.
        deterministic_backup: leave the entropy out of the target.
    """

    alpha_learning_rate: Rate = 3e-4
    initial_alpha: Rate = 1.0
    max_alpha: Rate | None = None
    target_entropy_per_dim: float = -1.0
    deterministic_backup: bool = False


@dataclass(frozen=True)
class Td3Config(CriticConfig):
    """TD3 (arXiv:1802.09477) held near a log's actions in actor and critic: ReBRAC (arXiv:2305.09836).

    Attributes:
        layer_norm: of the actor; critic_layer_norm: of the critics.
        policy_noise, noise_clip: of target policy smoothing, in units of the action's range [-1, 1].
        exploration_noise: spread of the noise where the policy acts with a key.
        actor_every: critic updates to one of the actor and of the target networks.
        actor_bc_coef: beta_1, weight of the actor's squared distance from the log's action, against Q / mean |Q|.
        critic_bc_coef: beta_2, reward units per squared distance of the next action from the log's next action.
        normalise_q: divide Q by its mean absolute value in the actor's loss.
    """

    hidden: tuple[Positive, ...] = (256, 256, 256)
    batch_size: Positive = 1024
    actor_learning_rate: Rate = 1e-3
    critic_learning_rate: Rate = 1e-3
    critic_layer_norm: bool = True
    policy_noise: NonNegative = 0.2
    noise_clip: NonNegative = 0.5
    exploration_noise: NonNegative = 0.1
    actor_every: Positive = 2
    actor_bc_coef: NonNegative = 0.01
    critic_bc_coef: NonNegative = 0.01
    normalise_q: bool = True


@dataclass(frozen=True)
class RolloutConfig:
    """Where model rows come from, and their share of a batch.

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


@dataclass(frozen=True)
class DynaConfig(RolloutConfig, SacConfig):
    """Soft actor-critic on logged and model transitions (MBPO, arXiv:1906.08253)."""
