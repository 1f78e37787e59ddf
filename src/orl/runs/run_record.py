"""What run.json may hold: the types of its entries, and what to say of one that is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from orl.documents import brief
from orl.errors import DataError

Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1, lt=2**31)]


@dataclass
class _Reference:
    min: float
    max: float
    source: str


@dataclass
class _Data:
    name: str = ""
    steps: Count = 0
    episodes: Count = 0
    obs_dim: Size = 1
    action_dim: Size = 1
    action_low: list[float] | None = None
    action_high: list[float] | None = None
    obs_fields: list[tuple[str, Size]] | None = None
    env_id: str | None = None
    reference: _Reference | None = None
    mean_return: float = 0.0
    best_return: float = 0.0


@dataclass
class _Score:
    mean: float
    normalised: bool


@dataclass
class _Holdout:
    rmse_over_persistence: float | None = None
    cross_entropy: dict[str, float | None] | None = None


@dataclass
class _Result:
    holdout: _Holdout | None = None
    score: _Score | None = None


@dataclass
class _Rollback:
    epoch: Count
    learning_rate_scale: Annotated[float, Field(gt=0)]


@dataclass
class _Entries:
    kind: str = ""
    status: str = ""
    fingerprint: str | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = field(default_factory=list)
    termination: str | None = None
    planner: str | None = None
    presets: list[str] | None = None
    seconds: float | None = None
    dataset: _Data | None = None
    result: _Result | None = None
    rollback: _Rollback | None = None


class Record(dict[str, Any]):
    """A table of run.json or config.toml, tables in it included; an entry that is not there is a fault of the file."""

    def __init__(self, file: Path, entries: Mapping[str, Any], place: str = "") -> None:
        super().__init__(entries)
        self._file, self._place = file, place
        for key, value in entries.items():
            if isinstance(value, dict):
                self[key] = Record(file, value, f"{place}{key}.")

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self._file} is damaged: it lacks {self._place}{key}")


def checked_record(file: Path, entries: Mapping[str, Any]) -> Record:
    """The entries of run.json; those that are there have the types that runs are written with.

    Raises:
        DataError: naming the first entry that has not.
    """
    try:
        TypeAdapter(_Entries).validate_json(json.dumps(entries), strict=True)  # as JSON, where a tuple is a list
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "its text"
        raise DataError(f"{file} is damaged: {key} = {brief(repr(first['input']))}: {first['msg'].lower()}") from None
    record = Record(file, entries)
    for name in ("action_low", "action_high"):
        bounds = (record.get("dataset") or {}).get(name)
        if bounds is not None and len(bounds) != record["dataset"]["action_dim"]:
            raise DataError(f"{file} is damaged: dataset.{name} has not as many numbers as there are actions")
    return record
