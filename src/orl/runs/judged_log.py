"""The log that candidates are judged on: read once, its behaviour fitted once, for all that share data and discount."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.data.history import with_history
from orl.errors import DataError
from orl.evaluation.ope.baseline import behaviour_returns
from orl.evaluation.ope.behaviour import BehaviourParams, action_distance, action_distribution, fit_behaviour
from orl.evaluation.ope.crossfit import assign_folds
from orl.evaluation.ope.types import Floats, LoggedEpisodes, logged_episodes
from orl.evaluation.ope.verdict import FAR_QUANTILE, Scale
from orl.runs.judged import Candidate
from orl.runs.loading import transitions
from orl.runs.ope_config import OpeConfig
from orl.runs.reporter import Reporter

# Streams of random numbers, apart from each other so that one method's draws are no other's.
BASELINE, DENSITY, Q_FITS, ROLLOUTS = range(4)


@dataclass(frozen=True, eq=False)
class JudgedLog:
    """A dataset with a history as episodes, at a discount; what is asked of it is computed when first asked for."""

    dataset: Dataset
    discount: float
    settings: OpeConfig
    reporter: Reporter

    def key(self, stream: int) -> jax.Array:
        """The key, a scalar, of one of the streams; the same for every candidate."""
        return jax.random.fold_in(jax.random.key(self.settings.seed), stream)

    @cached_property
    def episodes(self) -> LoggedEpisodes:
        """All logged episodes."""
        return logged_episodes(transitions(self.dataset, np.arange(len(self.dataset))), self.dataset.starts)

    @cached_property
    def fold(self) -> NDArray[np.int64]:
        """[E] the part of the log each episode belongs to; the same as of the cross-fit of Q."""
        return assign_folds(len(self.episodes), self.settings.folds, self.settings.seed)

    @cached_property
    def behaviour(self) -> BehaviourParams:
        """The density of the logged actions: a member a fold, fitted to the rows outside of it."""
        self.reporter.message(f"fitting the behaviour of {self.dataset.name}")
        inside = self.fold_of_row == np.arange(self.settings.folds)[:, None]
        return fit_behaviour(self.settings.behaviour, self.episodes.rows, ~inside, self.key(DENSITY))

    @cached_property
    def fold_of_row(self) -> NDArray[np.int64]:
        """[N] the same of each row."""
        return self.fold[self.episodes.of_row]

    def of_row(self, by_member: jax.Array) -> NDArray[np.float64]:
        """[N] out of [K, N]: what the member that did not see the row says of it."""
        values = np.asarray(by_member, np.float64)
        return values[self.fold_of_row, np.arange(values.shape[1])]

    @cached_property
    def usual_distance(self) -> float:
        """How far from the behaviour's mean, in its spreads, nearly all logged actions stay."""
        rows = self.episodes.rows
        distance = self.of_row(action_distance(self.behaviour, rows.obs, rows.action))
        return float(np.quantile(distance, 1.0 - FAR_QUANTILE))

    @cached_property
    def baseline(self) -> Floats:
        """[R, E] what the behaviour earned in each episode, cut ones completed."""
        self.reporter.message("fitting what the behaviour would have earned after its cut episodes")
        episodes, settings = self.episodes, self.settings
        final = self._behaviours_mean(episodes.rows.next_obs[episodes.last])
        return behaviour_returns(
            settings.fqe, episodes, final, self.discount, self.key(BASELINE), folds=settings.folds, seed=settings.seed
        )

    def _behaviours_mean(self, final_obs: jax.Array) -> jax.Array:
        """[E, A] of the observation after each episode's last step, by the member that did not see the episode."""
        mean, _ = action_distribution(self.behaviour, final_obs)
        return jnp.clip(mean[self.fold, jnp.arange(len(self.fold))], -1.0, 1.0)

    @property
    def scale(self) -> Scale:
        """What differences of value are held against."""
        returns = self.baseline.mean(axis=0)
        return Scale(float(returns.mean()), float(returns.std()))


class LogShelf:
    """Reads each dataset once, and keeps one `JudgedLog` for all candidates of the same data, history and discount."""

    def __init__(self, settings: OpeConfig, reporter: Reporter) -> None:
        self._settings, self._reporter = settings, reporter
        self._datasets: dict[str, Dataset] = {}
        self._logs: dict[tuple[str, int, float], JudgedLog] = {}

    def of(self, candidate: Candidate) -> JudgedLog:
        """The log a candidate was trained on.

        Raises:
            DataError: it is not there any more, or is not the same.
        """
        fingerprint = candidate.run.record["fingerprint"]
        key = fingerprint, candidate.config.history, candidate.discount
        if key not in self._logs:
            dataset = with_history(self._dataset(candidate, fingerprint), candidate.config.history)
            self._logs[key] = JudgedLog(dataset, candidate.discount, self._settings, self._reporter)
        return self._logs[key]

    def _dataset(self, candidate: Candidate, fingerprint: str) -> Dataset:
        if fingerprint not in self._datasets:
            dataset = load(candidate.config.dataset, self._reporter.message)
            if dataset.fingerprint != fingerprint:
                raise DataError(
                    f"{dataset.name} is not what {candidate.run.path} was trained on any more (fingerprints differ)"
                )
            self._datasets[fingerprint] = dataset
        return self._datasets[fingerprint]
