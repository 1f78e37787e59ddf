"""The documents that commands leave in a run folder, as far as a report reads them, with their types."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from orl.documents import brief
from orl.errors import DataError
from orl.runs.directory import check_schema, read_json

T = TypeVar("T")
Number = float | None  # JSON has no NaN: what was not finite is null
Numbers = list[Number]


def _rectangular(rows: list[list[float]]) -> list[list[float]]:
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise ValueError("every seed needs the same number of episodes, and one at least")
    return rows


@dataclass
class ModelValue:
    """What the bare model promises from the start states of an evaluation, in its score's units."""

    mean_return: Number
    score: Number
    gap: Number
    per_seed: list[float] | None
    horizon: int


@dataclass
class Milliseconds:
    """Time that a planner takes for an action."""

    median: float
    p95: float


@dataclass
class Evaluation:
    """A document of `orl evaluate` or `orl plan`: `returns` [S, M] of the policies at the end of training."""

    algorithm: str
    environment: str
    episodes: int
    evaluation_seed: int
    seeds: list[int]
    returns: Annotated[list[list[float]], AfterValidator(_rectangular)]
    lengths: list[list[int]]
    model_value: ModelValue | None = None
    ms_per_action: Milliseconds | None = None


@dataclass
class TrainingScore:
    """What run.json keeps of the last evaluation of a training."""

    per_seed: Annotated[list[float], Field(min_length=1)]
    episodes: int
    normalised: bool


@dataclass
class KStep:
    """Held-out error after so many steps, and over that of predicting no change."""

    rmse: Number
    rmse_over_persistence: Number


@dataclass
class Holdout:
    """What run.json keeps of a fit's own report; ensembles have errors, transformers cross-entropies by token kind."""

    rows: int
    rmse: Number = None
    rmse_over_persistence: Number = None
    reward_rmse: Number = None
    nll: Number = None
    k_step: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], KStep] = field(default_factory=dict)
    cross_entropy: dict[str, Number] = field(default_factory=dict)
    cross_entropy_of_frequencies: dict[str, Number] = field(default_factory=dict)


@dataclass
class HorizonErrors:
    """Root mean square errors by steps ahead."""

    model: Numbers
    linear: Numbers
    persistence: Numbers


@dataclass
class Horizon:
    """How far ahead a model can be believed."""

    error: HorizonErrors
    break_even: dict[str, int | None] = field(default_factory=dict)


@dataclass
class Calibration:
    """Coverage [level, column] of predicted central intervals at `levels`."""

    columns: list[str]
    levels: list[float]
    coverage: list[list[float]]
    expected_calibration_error: float
    rows: int


@dataclass
class Uncertainty:
    """An uncertainty of an ensemble against its errors."""

    uncertainty: str
    units: str
    rank_correlation: Number
    admissible_share: Number
    penalty_coef: Number
    mean_penalty: Number


@dataclass
class DistanceBin:
    """Held-out rows of one fifth by distance from the training rows: mean error and mean uncertainty."""

    low: float
    high: float
    rows: int
    error: Number
    u: Number


@dataclass
class Distance:
    """Errors and uncertainties by distance from the data."""

    bins: list[DistanceBin]


@dataclass
class Outside:
    """How much of a policy's model rollouts lies outside the data."""

    seed: int
    outside: Number


@dataclass
class PolicyDiagnosis:
    """The part of a diagnosis that is about a policy."""

    seeds: list[Outside]


@dataclass
class JudgedModel:
    """Which model a diagnosis is about."""

    kind: str


@dataclass
class Diagnosis:
    """A document of `orl diagnose`."""

    model: JudgedModel
    horizon: Horizon
    calibration: Calibration
    uncertainties: list[Uncertainty] = field(default_factory=list)
    distance: Distance | None = None
    policy: PolicyDiagnosis | None = None


@dataclass
class Example:
    """The first start of a prediction: `real` [H, O] against `predicted` [draws, H, O] by model, from `start` [O]."""

    start: Numbers
    real: list[Numbers]
    predicted: dict[str, list[list[Numbers]]]


@dataclass
class Prediction:
    """A document of `orl predict`."""

    actions: str
    error: dict[str, Numbers]
    persistence: Numbers
    example: Example | None = None


def checked(file: Path, kind: type[T]) -> T:
    """The document in `file` as `kind`, entries that `kind` does not name left out.

    Raises:
        DataError: naming the file and the first entry that is missing or of another type.
    """
    content = read_json(file)
    check_schema(file, content)
    return as_kind(file, content, kind)


def as_kind(file: Path, content: Any, kind: type[T]) -> T:
    """`content`, which came from `file`, as `kind`.

    Raises:
        DataError: naming the file and the first entry that is missing or of another type.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "its text"
        raise DataError(
            f"{file} is damaged: {key}: {brief(first['msg'].lower())}; delete it and make it again"
        ) from None
