"""Stretches of held-out episodes: what a model may read, and what really came after."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.border import agent_action
from orl.data.episodes import Dataset
from orl.data.history import stacked_rows, with_history
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.errors import UsageError
from orl.planning.base import History
from orl.runs.directory import RunDirectory, config_tree
from orl.runs.fit_sequence import FittedSequence
from orl.runs.reporter import Reporter

CONTEXT = 5


class Stretches(NamedTuple):
    """N held-out stretches of C + H steps: what a model may read, and what came after.

    Attributes:
        past: the C steps before; past.now [N, O] is where predictions begin. actions: [N, H, A] in [-1, 1] as logged.
        real: [N, H, O] observations after each. dataset, rows: the log, and its rows [N] where predictions begin.
    """

    past: History
    actions: NDArray[np.float32]
    real: NDArray[np.float32]
    dataset: Dataset
    rows: NDArray[np.int64]

    def stacked(self, history: int) -> NDArray[np.float32]:
        """[N, W] where predictions begin, with so many earlier observations and actions."""
        return stacked_rows(with_history(self.dataset, history), self.rows)[0]


def held_out_stretches(
    dataset: Dataset, runs: list[RunDirectory], steps: int, starts: int, reporter: Reporter
) -> tuple[Stretches, NDArray[np.float64]]:
    """Stretches of up to `steps` steps inside held-out episodes, evenly spread, and the training spread [O].

    Where no held-out episode is long enough the steps become as many as there are (and a message says so).

    Raises:
        UsageError: no held-out episode is long enough for one step.
    """
    settings = config_tree(runs[0].path)["model"]
    split = split_by_episode(dataset, settings["holdout_fraction"], SPLIT_SEED, settings["holdout_max_rows"])
    rows = split.holdout_rows
    first, ends = stretch_ends(dataset, rows)
    longest = int((ends - first).max()) + 1
    if longest < CONTEXT + 2:
        raise UsageError(
            f"{dataset.name}: held-out episodes have at most {longest} steps; nothing to predict far ahead"
        )
    if steps > longest - CONTEXT:
        steps = longest - CONTEXT
        reporter.message(f"held-out episodes have at most {longest} steps: predicting {steps} ahead")
    possible = np.concatenate(
        [np.arange(begin + CONTEXT, end - steps + 2) for begin, end in zip(first, ends, strict=True)]
    )
    chosen = rows[possible[evenly(len(possible), starts)]]
    spread = dataset.next_obs[split.train_rows].std(axis=0, dtype=np.float64)
    return stretches_from(dataset, chosen, chosen[:, None] + np.arange(steps), CONTEXT), np.maximum(spread, 1e-6)


def stretch_ends(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first, last) [N] indices into ascending `rows` [R] of each of their stretches of one episode."""
    ends = np.append(np.flatnonzero(np.diff(dataset.episode_of_row[rows]) != 0), len(rows) - 1)
    return np.append(0, ends[:-1] + 1), ends


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """[N] at most `most` indices below `count`, evenly spread from the first to the last."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)


def stretches_from(dataset: Dataset, rows: NDArray[np.int64], ahead: NDArray[np.int64], context: int) -> Stretches:
    """Stretches that begin at `rows` [N], with `context` steps before each, and the rows `ahead` [N, H]."""
    before = rows[:, None] + np.arange(-context, 0)
    action = agent_action(dataset.action, dataset.action_low, dataset.action_high)
    length = np.full(len(rows), context, np.int32)
    guess = np.zeros((*ahead.shape, action.shape[1]), np.float32)
    seen = (dataset.obs[before], action[before], dataset.reward[before], dataset.obs[rows], length, guess)
    return Stretches(History(*map(jnp.asarray, seen)), action[ahead], dataset.next_obs[ahead], dataset, rows)


def recent(fitted: FittedSequence, past: History) -> History:
    """The history with as many past steps as the model's window allows."""
    keep = min(CONTEXT, fitted.model.config.window - 1)
    obs, action, reward = (x[:, CONTEXT - keep :] for x in (past.obs, past.action, past.reward))
    return past._replace(obs=obs, action=action, reward=reward, length=jnp.minimum(past.length, keep))
