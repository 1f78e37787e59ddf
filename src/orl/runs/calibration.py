"""`--penalty calibrated`: an uncertainty and its lambda from a fitted model's held-out rows, without a simulator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.agents.state_value import ValueParams, state_value
from orl.data.episodes import Dataset
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import next_obs_normaliser
from orl.errors import DataError
from orl.evaluation.diagnosis.errors import Judged, judge
from orl.evaluation.diagnosis.lipschitz import value_lipschitz
from orl.evaluation.diagnosis.penalty import Assessment, assess, backup_error_bound, choose, finite_or_none
from orl.runs.behaviour_values import value_of_behaviour
from orl.runs.fit_model import FittedModel
from orl.runs.loading import load_split
from orl.types import Transition

SHARE = 0.95
SLOPE_QUANTILE = 0.95
MAX_ROWS = 20_000


@dataclass(frozen=True)
class Calibration:
    """What the held-out rows say of every uncertainty, and the penalty that follows.

    Attributes:
        chosen: the uncertainty to subtract; its `penalty_coef` is lambda.
        table: every uncertainty in both units.
        share: of held-out rows that lambda * u covers. discount: of the value and of the backup.
        lipschitz: slope of the behaviour's V, return per standardised unit, at `lipschitz_quantile` of the rows.
        covered: share of rows, but the terminal ones, with lambda * u >= |r + g V(s') - r_hat - g V(s_hat')| itself.
        rows, episodes: held-out rows used, and the episodes they are of: few episodes make a rough calibration.
    """

    chosen: Assessment
    table: list[Assessment]
    share: float
    discount: float
    lipschitz: float
    lipschitz_quantile: float
    covered: float
    rows: int
    episodes: int

    def settings(self) -> dict[str, Any]:
        """The agent's settings that this calibration decides."""
        chosen = self.chosen
        return {
            "uncertainty": chosen.uncertainty,
            "uncertainty_units": chosen.units,
            "penalty_coef": chosen.penalty_coef,
        }

    def document(self) -> dict[str, Any]:
        """As plain values, for run.json."""
        rest = {key: value for key, value in asdict(self).items() if key not in ("chosen", "table")}
        table = [finite_or_none(each._asdict()) for each in self.table]
        chosen = {"mean_penalty": self.chosen.mean_penalty, "rank_correlation": self.chosen.backup_rank_correlation}
        return {**self.settings(), **finite_or_none(chosen | rest), "table": table}

    def summary(self) -> str:
        """One line of what was found."""
        chosen = self.chosen
        return (
            f"penalty {chosen.penalty_coef:.3g} x {chosen.uncertainty} ({chosen.units}), {chosen.mean_penalty:.3g} of"
            f" reward a step on held-out data: covers the model's error there on {100 * self.share:g}% of rows"
            f" ({self.rows} rows of {self.episodes} episodes, rank correlation {chosen.backup_rank_correlation:.2f},"
            f" slope of the behaviour's value {self.lipschitz:.3g})"
        )


def calibrate(
    dataset: Dataset,
    fitted: FittedModel,
    *,
    discount: float,
    seed: int = 0,
    share: float = SHARE,
    lipschitz_quantile: float = SLOPE_QUANTILE,
    max_rows: int = MAX_ROWS,
) -> Calibration:
    """Calibrate every uncertainty of a fitted ensemble on the episodes that were held out of its fit.

    Those episodes decided when the fit stopped, so errors on them are a little small. What is covered, and why, is in
    `evaluation.diagnosis.penalty`.

    Args:
        discount: per step. seed: of the behaviour's value. share: of held-out rows to cover, in (0, 1).
        lipschitz_quantile: which slope of V among the rows' counts as its Lipschitz constant, as in `value_lipschitz`.
        max_rows: held-out rows looked at, evenly spread over all of them.

    Raises:
        UsageError: `share` is out of range. DataError: the data cannot support it.
    """
    model = fitted.ensemble.config
    rows, episodes = _held_out(dataset, model, max_rows)
    value = value_of_behaviour(dataset, model, discount, seed)
    lipschitz = value_lipschitz(value, rows.obs, next_obs_normaliser(fitted.params).std, lipschitz_quantile)
    raw, standardised = (judge(fitted.ensemble, fitted.params, rows, units) for units in ("raw", "standardised"))
    bound = backup_error_bound(raw.reward, standardised.next_obs, lipschitz, discount)
    if not np.isfinite(bound).all():
        raise DataError(f"{fitted.path} predicts numbers that are not finite on held-out rows; fit the model again")
    table = assess(standardised, "standardised", bound, share) + assess(raw, "raw", bound, share)
    chosen = choose(table)
    gap, going = _backup_gap(value, raw, rows, discount), np.asarray(rows.terminated) < 0.5
    penalty = chosen.penalty_coef * standardised.uncertainty[chosen.uncertainty]
    covered = float(np.mean((penalty >= np.abs(gap))[going])) if going.any() else float("nan")
    return Calibration(chosen, table, share, discount, lipschitz, lipschitz_quantile, covered, len(bound), episodes)


def _held_out(dataset: Dataset, model: EnsembleConfig, max_rows: int) -> tuple[Transition, int]:
    """The held-out rows, at most `max_rows` of them, and how many episodes they are of."""
    data = load_split(dataset, model.holdout_fraction, model.holdout_max_rows)
    count = len(data.holdout.reward)
    kept = np.linspace(0, count - 1, min(count, max_rows)).astype(np.int64)
    episodes = dataset.episode_of_row[data.split.holdout_rows[kept]]
    return jax.tree.map(lambda x: x[kept], data.holdout), len(np.unique(episodes))


def _backup_gap(value: ValueParams, judged: Judged, rows: Transition, discount: float) -> np.ndarray:
    """[N] r_hat + g V(s_hat') - r - g V(s'), nothing having ended."""
    predicted = jnp.asarray(judged.predicted)
    known = rows.next_obs[:, predicted.shape[1] - 1 :]  # the history in a stacked observation
    promised = predicted[:, -1] + discount * state_value(value, jnp.concatenate([predicted[:, :-1], known], axis=-1))
    return np.asarray(promised - rows.reward - discount * state_value(value, rows.next_obs), np.float64)
