"""Settings of the dynamics ensemble. Defaults are those of MBPO/MOPO as reproduced by OfflineRL-Kit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from orl.data.split import HOLDOUT_FRACTION, HOLDOUT_MAX_ROWS
from orl.errors import UsageError

Positive = Annotated[int, Field(ge=1)]
Members = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Termination = Literal["auto", "learned", "never"] | str


@dataclass(frozen=True)
class EnsembleConfig:
    """What `orl fit-model` fits.

    Attributes:
        members, elites: size of the ensemble, and how many of the best act in rollouts.
        hidden: widths of the hidden layers. weight_decay: one value a layer, output layer included.
        batch_size, learning_rate: of Adam. bound_weight: weight of the log-variance bounds' spread.
        improvement: a member improves when its held-out error falls by more than this share.
        patience: epochs without any member improving before the fit ends. max_epochs: hard limit.
        holdout_fraction, holdout_max_rows: how much is held out, in whole episodes (the papers take random rows).
        standardise_targets: scale targets to unit variance (off in the papers; on for logs without a preset).
        termination: "auto" (learned if the data has terminals, else never), "learned", "never" or a known rule's name.
        termination_hidden: widths of the learned termination head.
    """

    members: Members = 7
    elites: Members = 5
    hidden: tuple[Positive, ...] = (200, 200, 200, 200)
    weight_decay: tuple[NonNegative, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
    batch_size: Positive = 256
    learning_rate: Rate = 1e-3
    bound_weight: NonNegative = 0.01
    improvement: NonNegative = 0.01
    patience: Positive = 5
    max_epochs: Positive = 1000
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = HOLDOUT_FRACTION
    holdout_max_rows: Positive = HOLDOUT_MAX_ROWS
    standardise_targets: bool = False
    termination: Termination = "auto"
    termination_hidden: tuple[Positive, ...] = (64, 64)

    def __post_init__(self) -> None:
        if self.elites > self.members:
            raise UsageError(f"model.elites is {self.elites}, more than model.members ({self.members})")
        if len(self.weight_decay) != len(self.hidden) + 1:
            raise UsageError(
                f"model.weight_decay has {len(self.weight_decay)} values; model.hidden needs {len(self.hidden) + 1}"
                " (one a layer, the output layer included)"
            )
