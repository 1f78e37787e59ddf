"""How good the models behind the runs are: their held-out report, the diagnosis, and predicted trajectories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from orl.runs.report.learning import curve, series_of
from orl.runs.report.records import Diagnosis, Holdout, Prediction, as_kind
from orl.runs.report.sources import Source, number

MAX_DIMS = 12  # observation dimensions of a trajectory that are shown


def models_of(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Every model among the runs and in their folders, each once: fits of the same settings to the same data agree."""
    found: dict[str, list[tuple[Source, Source]]] = {}
    for source in sources:
        for model in source.models:
            settings = {key: value for key, value in model.settings.items() if key != "dataset"}
            key = json.dumps([model.run.record.get("fingerprint"), settings], sort_keys=True)
            found.setdefault(key, []).append((source, model))
    return [_model(pairs) for pairs in found.values()]


def _model(pairs: Sequence[tuple[Source, Source]]) -> dict[str, Any]:
    """A model by its own run where that is among the sources, else by the first copy of it."""
    owner, model = next((pair for pair in pairs if pair[0] is pair[1]), pairs[0])
    owners = [pair[0] for pair in pairs]
    diagnosed = next((each for each in owners if each.diagnosis), None)
    predicted = next((each for each in owners if each.prediction), None)
    result = model.run.record.get("result") or {}
    holdout = result.get("holdout")
    return {
        "name": model.name,
        "run": str(model.path),
        "owner": str(owner.path),
        "fingerprint": model.run.record.get("fingerprint"),
        "status": model.run.record["status"],
        "holdout": holdout and asdict(as_kind(model.path / "run.json", holdout, Holdout)),
        "epochs": result.get("epochs"),
        "seconds": number(model.run.record.get("seconds")),
        "curves": {name: curve(series) for name, series in sorted(series_of(model.metrics).items())},
        "diagnosis": diagnosed and diagnosed.diagnosis and _diagnosis(diagnosed.diagnosis),
        "prediction": predicted and predicted.prediction and _prediction(predicted.prediction),
    }


def _diagnosis(found: Diagnosis) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key != "policy"}


def _prediction(found: Prediction) -> dict[str, Any]:
    """The errors, and of the example as many dimensions as are shown, each with `real` and `predicted` by model."""
    document = {"actions": found.actions, "error": found.error, "persistence": found.persistence}
    example = found.example
    if example is None:
        return document | {"dims": []}
    count = min([len(example.start), MAX_DIMS, *(len(row) for row in example.real)])
    dims = [
        {
            "dim": dim,
            "real": [example.start[dim], *(row[dim] for row in example.real)],
            "predicted": {
                name: [[example.start[dim], *(row[dim] for row in draw if dim < len(row))] for draw in draws]
                for name, draws in example.predicted.items()
            },
        }
        for dim in range(count)
    ]
    return document | {"dims": dims}
