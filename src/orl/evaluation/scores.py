"""How good the behaviour is that a dataset records: what a learned policy is compared with."""

from __future__ import annotations

from typing import TypedDict

from orl.data.episodes import Dataset
from orl.errors import DataError


class BehaviourSummary(TypedDict):
    """Returns of a dataset's own episodes, undiscounted; the scores are None where it has no reference."""

    mean: float
    best: float
    score: float | None
    best_score: float | None
    episodes: int


def behaviour_summary(dataset: Dataset) -> BehaviourSummary:
    """Mean and best return of the episodes in `dataset`, and both as normalised scores by its reference.

    Every episode counts once whatever its length, one that the log cuts off included.

    Raises:
        DataError: the dataset has no episode.
    """
    if dataset.n_episodes == 0:
        raise DataError(f"dataset {dataset.name} has no episodes to judge its behaviour by")
    mean, best = float(dataset.returns.mean()), float(dataset.returns.max())
    reference = dataset.reference
    score, best_score = (float(reference.score(r)) if reference else None for r in (mean, best))
    return {"mean": mean, "best": best, "score": score, "best_score": best_score, "episodes": dataset.n_episodes}
