"""What a method is worth: its evaluation over all its seeds, and what the bare model promised instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orl.data.episodes import Reference
from orl.errors import DataError
from orl.evaluation.statistics import summarise
from orl.runs.evaluate import score_document
from orl.runs.report.records import Evaluation, TrainingScore, as_kind
from orl.runs.report.sources import Source


def reference_of(record: dict[str, Any]) -> Reference | None:
    """The returns that score 0 and 100 in the record of a run, if it has them.

    Raises:
        DataError: both are the same.
    """
    found = record["dataset"].get("reference")
    if found is None:
        return None
    if found["max"] == found["min"]:
        raise DataError("a run's record is damaged: dataset.reference has the same return for 0 and 100")
    return Reference(**found)


def alike(sources: Sequence[Source]) -> list[Evaluation]:
    """An evaluation of every run, all in the same environment, with as many episodes from the same start states.

    Of several such protocols the one with most episodes, of these the newest; empty where the runs share none.
    """
    by_protocol = [{_protocol(each): each for each in source.evaluations} for source in sources]
    shared = [each for each in by_protocol[0] if all(each in others for others in by_protocol)]
    if not shared:
        return []
    best = max(reversed(shared), key=lambda protocol: protocol[1])
    return [found[best] for found in by_protocol]


def _protocol(evaluation: Evaluation) -> tuple[str, int, int]:
    return evaluation.environment, evaluation.episodes, evaluation.evaluation_seed


def score_of(sources: Sequence[Source], reference: Reference | None) -> dict[str, Any] | None:
    """The score of a method over all seeds of its runs, or None where it was not played in one way.

    Returns:
        The `score` entry of `orl evaluate --json`, with `episodes` a seed, `environment` and `kind`: "evaluation" of
        the runs, or "training" for what was played at the end of it, which has no interval.

    Raises:
        DataError: an evaluation holds another number of episodes than it says.
    """
    documents = alike(sources)
    if not documents:
        return _trained(sources)
    try:
        returns = np.array([row for each in documents for row in each.returns], float)
    except ValueError:
        raise DataError(f"evaluations of {sources[0].path} hold another number of episodes than they say") from None
    summary = score_document(summarise(returns, reference), reference)
    first = documents[0]
    return summary | {"kind": "evaluation", "episodes": first.episodes, "environment": first.environment}


def _trained(sources: Sequence[Source]) -> dict[str, Any] | None:
    results = [(each.run.record.get("result") or {}).get("score") for each in sources]
    if any(result is None for result in results):
        return None
    pairs = zip(sources, results, strict=True)
    found = [as_kind(source.path / "run.json", result, TrainingScore) for source, result in pairs]
    per_seed = [value for each in found for value in each.per_seed]
    return {
        "mean": float(np.mean(per_seed)),
        "iqm": None,
        "ci95": None,
        "ci_over": None,
        "per_seed": per_seed,
        "normalised": found[0].normalised,
        "kind": "training",
        "episodes": found[0].episodes,
        "environment": sources[0].run.record["dataset"].get("env_id"),
    }


def promise_of(sources: Sequence[Source], true: float | None) -> dict[str, Any] | None:
    """What the bare model says of the same start states (`promised`), the truth (`true`) and the `gap` between them.

    `promised` and `gap` are null where the model's rollouts blew up. None for methods without such an evaluation.
    """
    values = [each.model_value for each in alike(sources)]
    known = [each for each in values if each is not None]
    if true is None or not known or len(known) < len(values):
        return None
    blown = any(value.per_seed is None for value in known)
    per_seed = [] if blown else [each for value in known for each in value.per_seed or ()]
    promised = float(np.mean(per_seed)) if per_seed else None
    gap = None if promised is None else promised - true
    return {"promised": promised, "true": true, "gap": gap, "per_seed": per_seed, "horizon": known[0].horizon}


def behaviour_scores(record: dict[str, Any], reference: Reference | None) -> dict[str, float]:
    """Mean and best logged return, in the units of the scores."""
    mean, best = float(record["dataset"]["mean_return"]), float(record["dataset"]["best_return"])
    if reference is None:
        return {"mean": mean, "best": best}
    return {"mean": float(reference.score(mean)), "best": float(reference.score(best))}
