"""Runs of one method that differ in their seeds only, as one: its curves, its score, the model's promise, its cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from orl.runs.report.learning import curve, series_of
from orl.runs.report.published import published_scores
from orl.runs.report.scores import behaviour_scores, promise_of, reference_of, score_of
from orl.runs.report.sources import Source, number

SEED_SETTINGS = ("seed", "seeds", "seed_axis", "dataset")


def grouped(sources: Iterable[Source]) -> list[list[Source]]:
    """Policies and plans that share data, method and settings, together; seeds may differ, but none may come twice."""
    groups: dict[str, list[list[Source]]] = {}
    for source in (each for each in sources if not each.is_model):
        settings = {key: value for key, value in source.settings.items() if key not in SEED_SETTINGS}
        began = source.run.record.get("init"), source.run.record.get("model")
        key = json.dumps([source.run.record.get("fingerprint"), source.name, settings, began], sort_keys=True)
        seeds = set(source.run.record.get("seeds", []))
        together = groups.setdefault(key, [])
        fits = (group for group in together if not seeds & {s for each in group for s in each.run.record["seeds"]})
        group = next(fits, None)
        if group is None:
            together.append([source])
        else:
            group.append(source)
    return [group for together in groups.values() for group in together]


def labels(groups: Sequence[Sequence[Source]]) -> list[str]:
    """What each group of one dataset is called: its method where no other group has it, else its first folder."""
    names, folders = (Counter(name(group) for group in groups) for name in (_method_name, _folder_name))

    def label(group: Sequence[Source]) -> str:
        if names[_method_name(group)] == 1:
            return _method_name(group)
        return _folder_name(group) if folders[_folder_name(group)] == 1 else str(group[0].path)

    return [label(group) for group in groups]


def _method_name(group: Sequence[Source]) -> str:
    return group[0].name


def _folder_name(group: Sequence[Source]) -> str:
    return group[0].path.name


def method(label: str, sources: Sequence[Source]) -> dict[str, Any]:
    """A group in numbers."""
    first = sources[0]
    reference = reference_of(first.run.record)
    score = score_of(sources, reference)
    rows = [{**row, "seed": row.get("seed", 0)} for each in sources for row in each.metrics]
    return {
        "label": label,
        "name": first.name,
        "kind": first.run.record["kind"],
        "fingerprint": first.run.record.get("fingerprint"),
        "runs": [str(each.path) for each in sources],
        "seeds": [seed for each in sources for seed in each.run.record.get("seeds", [])],
        "status": sorted({str(each.run.record["status"]) for each in sources}),
        "score": score,
        "promise": promise_of(sources, score["mean"] if score else None),
        "curves": {name: curve(series) for name, series in sorted(series_of(rows).items())},
        "calibrated": first.run.record.get("penalty"),
        "outside": _outside(sources),
        "cost": _cost(sources),
    }


def _outside(sources: Sequence[Source]) -> float | None:
    """Share of the policies' model rollouts outside the data, by `orl diagnose`; the mean over seeds."""
    judged = [each.diagnosis.policy for each in sources if each.diagnosis and each.diagnosis.policy]
    shares = [line.outside for policy in judged for line in policy.seeds if line.outside is not None]
    return sum(shares) / len(shares) if shares else None


def _cost(sources: Sequence[Source]) -> dict[str, Any]:
    """Seconds of training and of its model's fit, and speed; `model` is null where there is none to speak of."""
    fits = {str(model.path): number(model.run.record.get("seconds")) for each in sources for model in each.models}
    known = [seconds for seconds in fits.values() if seconds is not None]
    results = [each.run.record.get("result") or {} for each in sources]
    rates = [rate for result in results if (rate := number(result.get("updates_per_second"))) is not None]
    planned = [each.evaluations[-1].ms_per_action for each in sources if each.evaluations]
    return {
        "training": sum(each.train_seconds for each in sources),
        "model": max(known) if known else None,
        "updates_per_second": sum(rates) / len(rates) if rates else None,
        "ms_per_action": next((each.median for each in planned if each), None),
        "device": str(sources[0].run.record.get("device", "unknown")),
    }


def yardsticks(sources: Sequence[Source]) -> dict[str, Any]:
    """What the scores on one dataset are held against: the behaviour, and what was published."""
    record = sources[0].run.record
    reference = reference_of(record)
    return {
        "behaviour": behaviour_scores(record, reference),
        "normalised": reference is not None,
        "reference": record["dataset"].get("reference"),
        "published": published_scores(str(record["dataset"]["name"])),
    }
