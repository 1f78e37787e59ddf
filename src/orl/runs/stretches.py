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
    """
    settings = config_tree(runs[0].path)["model"]
    split = split_by_episode(dataset, settings["holdout_fraction"], SPLIT_SEED, settings["holdout_max_rows"])
    rows = split.holdout_rows
    ends = np.append(np.flatnonzero(np.diff(dataset.episode_of_row[rows]) != 0), len(rows) - 1)
    first = np.append(0, ends[:-1] + 1)
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
    chosen = rows[possible[np.linspace(0, len(possible) - 1, min(starts, len(possible))).round().astype(int)]]
    before, ahead = chosen[:, None] + np.arange(-CONTEXT, 0), chosen[:, None] + np.arange(steps)
    action = agent_action(dataset.action, dataset.action_low, dataset.action_high)
    length = np.full(len(chosen), CONTEXT, np.int32)
    guess = np.zeros((len(chosen), steps, action.shape[1]), np.float32)
    seen = (dataset.obs[before], action[before], dataset.reward[before], dataset.obs[chosen], length, guess)
    spread = dataset.next_obs[split.train_rows].std(axis=0, dtype=np.float64)
    past = History(*map(jnp.asarray, seen))
    stretches = Stretches(past, action[ahead], dataset.next_obs[ahead], dataset, chosen)
    return stretches, np.maximum(spread, 1e-6)


def recent(fitted: FittedSequence, past: History) -> History:
    """The history with as many past steps as the model's window allows."""
    keep = min(CONTEXT, fitted.model.config.window - 1)
    obs, action, reward = (x[:, CONTEXT - keep :] for x in (past.obs, past.action, past.reward))
    return past._replace(obs=obs, action=action, reward=reward, length=jnp.minimum(past.length, keep))
