"""What an export says of its policy's data and of its flag: parts of its document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset
from orl.deployment.familiarity import COVERED
from orl.runs.export.subject import DISAGREEMENT, Familiarity, Subject


def data_document(subject: Subject, dataset: Dataset, episodes: NDArray[np.int64]) -> dict[str, Any]:
    """`dataset`: which log, and what its observations were; `episodes` [N] are those of the held-out rows."""
    obs = dataset.obs
    return {
        "name": dataset.name,
        "fingerprint": subject.run.record["fingerprint"],
        "steps": len(dataset),
        "episodes": dataset.n_episodes,
        "mean_return": float(dataset.returns.mean()),
        "best_return": float(dataset.returns.max()),
        "held_out_rows": len(episodes),
        "held_out_episodes": len(np.unique(episodes)),
        "obs_names": observation_names(dataset),
        "obs_low": obs.min(axis=0).tolist(),
        "obs_mean": obs.mean(axis=0, dtype=np.float64).tolist(),
        "obs_high": obs.max(axis=0).tolist(),
    }


def observation_names(dataset: Dataset) -> list[str]:
    """A name for each of the O numbers: of nested observations their key and place in it, else `obs[0]` and so on."""
    fields = dataset.obs_fields or (("obs", dataset.obs.shape[1]),)
    return [f"{key}[{index}]" for key, size in fields for index in range(size)]


def strange_observations(dataset: Dataset, count: int) -> NDArray[np.float32]:
    """[count, O] drawn uniformly from a box twice as wide as the log's in every dimension: mostly unknown."""
    low, high = (extreme.astype(np.float64) for extreme in (dataset.obs.min(axis=0), dataset.obs.max(axis=0)))
    drawn = np.random.default_rng(0).uniform(size=(count, len(low)))
    return ((low + high) / 2 + (2.0 * drawn - 1.0) * (high - low)).astype(np.float32)


def flag_document(known: Familiarity, quantile: float) -> dict[str, Any]:
    """`flag`: how uncertainty and threshold came about; or `missing`, why there is none."""
    if known.familiar is None:
        return {"missing": known.missing}
    return {
        "missing": None,
        "model": str(known.model),
        "disagreement": DISAGREEMENT,
        "members": known.familiar.ensemble.config.members,
        "factor": known.familiar.factor,
        "covered": COVERED,
        "quantile": quantile,
        "rows": known.rows,
        "threshold": known.familiar.threshold,
    }
