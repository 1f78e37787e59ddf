"""The settings of a whole run, from which it can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from orl.algorithms import ALGORITHMS
from orl.config import Preset, build, did_you_mean, find_presets, merge
from orl.dynamics.config import EnsembleConfig
from orl.errors import UsageError
from orl.sequence.config import TransformerConfig

Positive = Annotated[int, Field(ge=1)]
PastSteps = Annotated[int, Field(ge=0, le=10_000)]  # beyond, a row would be nothing but its past


@dataclass(frozen=True)
class TrainConfig:
    """How long a policy trains and what happens on the way.

    Attributes:
        steps: gradient updates in all. epoch_steps: updates per epoch; each epoch begins with a model rollout.
        checkpoint_every: epochs between checkpoints.
        eval_every: epochs between evaluations in the environment, where there is one; 0 for only at the end.
        eval_episodes: episodes of each of those.
    """

    steps: Positive = 1_000_000
    epoch_steps: Positive = 1000
    checkpoint_every: Positive = 10
    eval_every: Annotated[int, Field(ge=0)] = 10
    eval_episodes: Positive = 10

    @property
    def epochs(self) -> int:
        """Epochs in the run; the steps are rounded up to whole epochs."""
        return -(-self.steps // self.epoch_steps)


@dataclass(frozen=True)
class FitRunConfig:
    """`orl fit-model`: dataset, seed, the model's settings, and how many past observations and actions it sees."""

    dataset: str
    seed: int = 0
    model: EnsembleConfig = field(default_factory=EnsembleConfig)
    history: PastSteps = 0


@dataclass(frozen=True)
class PolicyRunConfig:
    """`orl train-policy`: dataset, algorithm, seeds, and the settings of model, agent and training.

    `agent` is the algorithm's own settings class; `seed_axis` is "vmap" (one batched program) or "map" (bit-exact);
    `history` is how many past observations and actions policy, critics and model see.
    """

    dataset: str
    algorithm: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    seed_axis: Literal["vmap", "map"] = "vmap"
    model_seed: int = 0
    model: EnsembleConfig = field(default_factory=EnsembleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    agent: Any = None
    history: PastSteps = 0


@dataclass(frozen=True)
class SequenceRunConfig:
    """`orl fit-model --kind transformer`: dataset, seed and the model's settings."""

    dataset: str
    seed: int = 0
    model: TransformerConfig = field(default_factory=TransformerConfig)


def resolve_sequence(dataset: str, overrides: dict[str, Any]) -> tuple[SequenceRunConfig, list[Preset]]:
    """The settings of a transformer's fit: defaults, presets for "transformer", then `overrides`."""
    presets = find_presets(dataset, "transformer", explicit=True)
    values: dict[str, Any] = {}
    for preset in presets:
        values = merge(values, preset.settings)
    return build(SequenceRunConfig, merge(values, {"dataset": dataset} | overrides)), presets


def resolve_fit(dataset: str, overrides: dict[str, Any]) -> tuple[FitRunConfig, list[Preset]]:
    """The settings of a model fit: defaults, presets, then `overrides`. Returns them with the presets used."""
    presets = find_presets(dataset, None)
    return build(FitRunConfig, merge(of_ensembles(presets), {"dataset": dataset} | overrides)), presets


def of_ensembles(presets: list[Preset]) -> dict[str, Any]:
    """What presets, which speak of policies too, say of the ensemble on their data."""
    values: dict[str, Any] = {}
    for preset in presets:
        values = merge(values, {key: preset.settings[key] for key in ("model", "history") if key in preset.settings})
    return values


def resolve_policy(dataset: str, algorithm: str, overrides: dict[str, Any]) -> tuple[PolicyRunConfig, list[Preset]]:
    """The settings of a policy run: defaults, presets, then `overrides`. Returns them with the presets used."""
    presets = find_presets(dataset, algorithm)
    values: dict[str, Any] = {}
    for preset in presets:
        values = merge(values, preset.settings)
    values = merge(values, {"dataset": dataset, "algorithm": algorithm} | overrides)
    return policy_config(values), presets


def policy_config(values: dict[str, Any]) -> PolicyRunConfig:
    """A `PolicyRunConfig` from plain values, its `agent` table read by the algorithm's own settings class.

    Raises:
        UsageError: no such algorithm, or what `config.build` refuses.
    """
    algorithm = values.get("algorithm", "")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"unknown algorithm {algorithm!r}{did_you_mean(str(algorithm), ALGORITHMS)}")
    table = values.get("agent", {})
    if not isinstance(table, dict):
        raise UsageError(f"setting agent is a table of settings, not {table!r}")
    agent = build(ALGORITHMS[algorithm].config, table, "agent.")
    rest = {key: value for key, value in values.items() if key != "agent"}
    return replace(build(PolicyRunConfig, rest), agent=agent)
