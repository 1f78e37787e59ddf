"""What a diagnosis looks at: rows of both sides of the split, and where they lie in their episodes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.errors import UsageError
from orl.evaluation.diagnosis.folds import folds_of_rows
from orl.runs.directory import RunDirectory, config_tree
from orl.runs.loading import transitions
from orl.runs.stretches import evenly, stretch_ends
from orl.types import Transition

FIT_ROWS, NEAR_ROWS = 50_000, 20_000  # training rows of the linear model, and of the search for neighbours
JUDGED_ROWS = 10_000  # held-out rows of one-step errors


class Evidence(NamedTuple):
    """The rows that a diagnosis samples, evenly over the log, with the dataset's history: obs and next_obs are [.., W].

    Attributes:
        dataset: the log. train: of the training side, in rows `train_rows`. fold: [M] of each, for cross-validation.
        holdout: all held-out rows, with index [n] `holdout_rows` into the log; first, last: [n] where the stretch of
            each begins and ends. judged: [J] which of them one-step errors are taken of.
        spread: [O] standard deviation of the training side's next observations, the newest of a stack.
    """

    dataset: Dataset
    train: Transition
    fold: NDArray[np.int64]
    holdout: Transition
    holdout_rows: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    judged: NDArray[np.int64]
    spread: NDArray[np.float64]

    @property
    def judged_rows(self) -> Transition:
        """The held-out transitions of one-step errors."""
        return jax.tree.map(lambda x: x[self.judged], self.holdout)


def gather(dataset: Dataset, run: RunDirectory) -> Evidence:
    """Both sides of the split that the model in `run` was fitted by."""
    settings = config_tree(run.path)["model"]
    split = split_by_episode(dataset, settings["holdout_fraction"], SPLIT_SEED, settings["holdout_max_rows"])
    rows = split.train_rows[evenly(len(split.train_rows), FIT_ROWS)]
    first, last = stretch_ends(dataset, split.holdout_rows)
    stretch = np.repeat(np.arange(len(first)), last - first + 1)
    spread = dataset.next_obs[split.train_rows].std(axis=0, dtype=np.float64)
    return Evidence(
        dataset=dataset,
        train=transitions(dataset, rows),
        fold=folds_of_rows(dataset.episode_of_row[rows], 5),
        holdout=transitions(dataset, split.holdout_rows),
        holdout_rows=split.holdout_rows,
        first=first[stretch],
        last=last[stretch],
        judged=evenly(len(split.holdout_rows), JUDGED_ROWS),
        spread=np.maximum(spread, 1e-6),
    )


class Starts(NamedTuple):
    """N held-out rows to predict from.

    Attributes:
        rows: [N] which of the held-out rows. ahead: [N, H] those of the next H steps, the last one repeated past the
            episode's end. inside: [N, H] which of them lie inside it.
    """

    rows: NDArray[np.int64]
    ahead: NDArray[np.int64]
    inside: NDArray[np.bool_]


def starts_of(evidence: Evidence, steps: int, most: int, context: int = 0) -> Starts:
    """At most `most` held-out rows with `context` rows before them, and up to `steps` ahead as far as episodes go.

    Raises:
        UsageError: held-out episodes are too short for the context.
    """
    rows = np.arange(len(evidence.first))
    possible = rows[rows - evidence.first >= context]
    if not len(possible):
        raise UsageError(f"{evidence.dataset.name}: no held-out episode has the {context + 1} steps that it takes here")
    index = possible[evenly(len(possible), most)]
    ahead = index[:, None] + np.arange(steps)
    inside = ahead <= evidence.last[index, None]
    seen = int(inside.any(axis=0).sum())
    return Starts(index, np.minimum(ahead, evidence.last[index, None])[:, :seen], inside[:, :seen])
