"""`--penalty calibrated`: an uncertainty and its lambda from a fitted model's held-out rows, without a simulator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from orl.agents.state_value import state_value
from orl.data.episodes import Dataset
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import next_obs_normaliser
from orl.errors import DataError
from orl.evaluation.diagnosis.errors import Doubles, Judged, judge
from orl.evaluation.diagnosis.lipschitz import slope_along, value_lipschitz
from orl.evaluation.diagnosis.penalty import Assessment, assess, backup_error_bound, choose, finite_or_none
from orl.runs.behaviour_values import value_of_behaviour
from orl.runs.fit_model import FittedModel
from orl.runs.loading import load_split
from orl.types import Array, Transition

# Three rows in four: errors are skewed, and about there lambda * u covers their mean, which is what a return adds up
# (`diagnosis.penalty`; compare `mean_penalty` and `mean_error`).
SHARE = 0.75
MAX_ROWS = 20_000


@dataclass(frozen=True)
class Calibration:
    """What the held-out rows say of every uncertainty, and the penalty that follows.

    Attributes:
        chosen: the uncertainty to subtract; its `penalty_coef` is lambda.
        table: every uncertainty in both units.
        share: of held-out rows that lambda * u covers. discount: of the value and of the backup.
        lipschitz: slope of the behaviour's V, return per standardised unit: along the model's own errors, or its
            gradient's length at `lipschitz_quantile` of the rows.
        mean_error: of the bound on the backup's error that the penalty has to cover: reward per step, beside
            `chosen.mean_penalty`. mean_reward: logged, per step.
        covered: share of rows, but the terminal ones, with lambda * u >= |r + g V(s') - r_hat - g V(s_hat')| itself.
        rows, episodes: held-out rows used, and the episodes they are of: few episodes make a rough calibration.
        ends: whether the log has true ends.
    """

    chosen: Assessment
    table: list[Assessment]
    share: float
    discount: float
    lipschitz: float
    lipschitz_quantile: float | None
    mean_error: float
    mean_reward: float
    covered: float
    rows: int
    episodes: int
    ends: bool

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
        """What was found, in a line."""
        chosen = self.chosen
        return (
            f"penalty {chosen.penalty_coef:.3g} x {chosen.uncertainty} ({chosen.units}), on {self.rows} held-out rows"
            f" (episodes: {self.episodes}) {chosen.mean_penalty:.3g} a step, where the model's error is worth"
            f" {self.mean_error:.3g}; rank correlation of the two {chosen.backup_rank_correlation:.2f}"
        )

    def caution(self) -> str | None:
        """What the user should know before training with it, if anything."""
        if self.ends and self.chosen.mean_penalty > self.mean_reward:
            return (
                f"it takes more than the {self.mean_reward:.3g} that a step earns on average, and episodes can end: a"
                " policy may learn to end them; fit a better model, lower --share, or give --penalty a number"
            )
        return None


def calibrate(
    dataset: Dataset,
    fitted: FittedModel,
    *,
    discount: float,
    seed: int = 0,
    share: float = SHARE,
    lipschitz_quantile: float | None = None,
    max_rows: int = MAX_ROWS,
) -> Calibration:
    """Calibrate every uncertainty of a fitted ensemble on the episodes that were held out of its fit.

    Those episodes decided when the fit stopped, so errors on them are a little small. What is covered, and why, is in
    `evaluation.diagnosis.penalty`.

    Args:
        discount: per step. seed: of the behaviour's value. share: of held-out rows to cover, in (0, 1).
        lipschitz_quantile: take `value_lipschitz` at this quantile for the Lipschitz constant of V instead of
            `slope_along` the model's errors: a bound for every direction, and often many times as large.
        max_rows: held-out rows looked at, evenly spread over all of them.

    Raises:
        UsageError: `share` is out of range. DataError: the data cannot support it.
    """
    rows, episodes = _held_out(dataset, fitted.ensemble.config, max_rows)
    value = value_of_behaviour(dataset, fitted.ensemble.config, discount, seed)
    raw, standardised = (judge(fitted.ensemble, fitted.params, rows, units) for units in ("raw", "standardised"))
    if not np.isfinite(raw.joint).all():
        raise DataError(f"{fitted.path} predicts numbers that are not finite on held-out rows; fit the model again")
    promised = _promised_obs(raw, rows)
    if lipschitz_quantile is None:
        lipschitz = slope_along(value, rows.next_obs, promised, standardised.next_obs)
    else:
        scale = next_obs_normaliser(fitted.params).std
        lipschitz = value_lipschitz(value, rows.next_obs, scale, lipschitz_quantile)
    bound = backup_error_bound(raw.reward, standardised.next_obs, lipschitz, discount)
    table = assess(standardised, "standardised", bound, share) + assess(raw, "raw", bound, share)
    chosen = choose(table)
    ahead = state_value(value, promised) - state_value(value, rows.next_obs)
    gap = np.asarray(raw.predicted[:, -1] - rows.reward + discount * ahead)
    return Calibration(
        chosen=chosen,
        table=table,
        share=share,
        discount=discount,
        lipschitz=lipschitz,
        lipschitz_quantile=lipschitz_quantile,
        mean_error=float(np.mean(bound)),
        mean_reward=float(np.mean(rows.reward)),
        covered=_covered(chosen.penalty_coef * standardised.uncertainty[chosen.uncertainty], gap, rows),
        rows=len(bound),
        episodes=episodes,
        ends=bool(dataset.terminated.any()),
    )


def _held_out(dataset: Dataset, model: EnsembleConfig, max_rows: int) -> tuple[Transition, int]:
    """The held-out rows, at most `max_rows` of them, and how many episodes they are of."""
    data = load_split(dataset, model.holdout_fraction, model.holdout_max_rows)
    count = len(data.holdout.reward)
    kept = np.linspace(0, count - 1, min(count, max_rows)).astype(np.int64)
    episodes = dataset.episode_of_row[data.split.holdout_rows[kept]]
    return jax.tree.map(lambda x: x[kept], data.holdout), len(np.unique(episodes))


def _covered(penalty: Doubles, gap: np.ndarray, rows: Transition) -> float:
    """Share of the rows that end no episode (no value follows an end) with penalty >= |gap|; NaN without any."""
    going = np.asarray(rows.terminated) < 0.5
    return float(np.mean((penalty >= np.abs(gap))[going])) if going.any() else float("nan")


def _promised_obs(judged: Judged, rows: Transition) -> Array:
    """[N, O] the predicted next observations; of a stacked one, with the past that is known."""
    newest = judged.predicted[:, :-1]
    return jnp.concatenate([newest, rows.next_obs[:, newest.shape[1] :]], axis=-1)
