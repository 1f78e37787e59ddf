"""What follows from a candidate's estimates, read out of its document: a rule that changes needs no estimate anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orl.evaluation.ope.methods import MODEL, PENALISED
from orl.evaluation.ope.score import Certainty, certainty, model_is_refuted
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import Scale, Support, Verdict, judge

Document = Mapping[str, Any]


def verdict_of(document: Document, *, model: bool = True) -> Verdict:
    """The verdict on a candidate, with or without what the model says."""
    behaviour = document["behaviour"]
    scale = Scale(behaviour["value"], behaviour["spread"])
    estimates = {name: _estimate(name, part, part["detail"]) for name, part in document["estimates"].items()}
    return judge(_heard(estimates, model), Support(**document["support"]), scale)


def certainty_of(document: Document, *, model: bool = True) -> Certainty:
    """How much better than the behaviour a candidate surely is, with or without what the model says."""
    verdict = verdict_of(document, model=model)
    improvements = {
        name: _estimate(name, part["improvement"], part["detail"]) for name, part in document["estimates"].items()
    }
    return certainty(_heard(improvements, model), verdict.kind, verdict.pair, document["support"]["clipped"])


def model_is_heard(documents: Sequence[Document]) -> bool:
    """Whether the model has stood its trial on the clones among the candidates (`score.model_is_refuted`)."""
    return not any(each["algorithm"] == "bc" and model_is_refuted(verdict_of(each)) for each in documents)


def _heard(estimates: dict[str, Estimate], model: bool) -> dict[str, Estimate]:
    return {name: each for name, each in estimates.items() if model or name not in (MODEL, PENALISED)}


def _estimate(name: str, part: Document, detail: Document) -> Estimate:
    """An estimate out of plain values; what is None was no number."""
    low, least = (-math.inf if part.get(key) is None else part[key] for key in ("low", "least"))
    high = math.inf if part["high"] is None else part["high"]
    value = math.nan if part["value"] is None else part["value"]
    numbers = {key: number for key, number in detail.items() if number is not None}
    return Estimate(name, value, low, high, numbers, least)
