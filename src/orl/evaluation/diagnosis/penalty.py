"""A penalty lambda * u from held-out data alone: what it has to cover, and which u does so best.

A model step promises r_hat + g V(s_hat'), the system pays r + g V(s'). MOPO's telescoping lemma (arXiv:2005.13239) sums
their difference G(s, a) over the model's own rollouts: eta_hat(pi) - eta(pi) = sum rho_hat G. A reward less lambda * u
with lambda * u >= |G| therefore makes the model's return a lower bound of the true one. For a V of Lipschitz constant L
the paper has |E_{s_hat'} V - E_{s'} V| <= L W1(T_hat, T), hence lambda = g L where rewards are known and u >= W1. Here
the reward is predicted too, whatever the uncertainty contains, and no u is known to be admissible: so u is held to the
whole of

    |r - r_hat| + g L ||(s' - s_hat') / sigma||  >=  |G|        (sigma: the unit of each dimension)

and lambda is the least that covers it on a stated share of held-out rows: it carries g L and u's own correction. What
is logged is one s' and not its distribution, so the noise of a noisy system counts as error: that errs towards caution.
Two things do not: errors of the model's termination are left out, and V is the behaviour's, not the policy's.

The bound on a return asks for lambda * u >= |G| on average over a rollout, not at every step. A share near 1 takes the
worst predicted rows as the measure of all: where steps earn less than that costs and episodes can end, the best
penalised policy ends them at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from orl.dynamics.uncertainty import WITH_REWARD
from orl.errors import DataError
from orl.evaluation.diagnosis.conformal import admissible_share, split_conformal_factor
from orl.evaluation.diagnosis.errors import Doubles, Judged
from orl.evaluation.diagnosis.ranks import rank_correlation


class Assessment(NamedTuple):
    """One uncertainty u on held-out rows.

    Attributes:
        uncertainty: key of UNCERTAINTIES. units: "raw" or "standardised".
        mean, mean_error: of u, and of the error that u is about, in those units.
        rank_correlation: of u with that error. admissible_share: of rows with u >= error.
        conformal_factor: on u, for u >= error on the stated share.
        backup_rank_correlation: of u with the backup's error bound.
        penalty_coef: lambda, the factor on u that covers that bound on the stated share: reward per unit of u.
        mean_penalty: lambda times the mean of u: reward per step. What does not exist is NaN or inf.
    """

    uncertainty: str
    units: str
    mean: float
    mean_error: float
    rank_correlation: float
    admissible_share: float
    conformal_factor: float
    backup_rank_correlation: float
    penalty_coef: float
    mean_penalty: float


def backup_error_bound(reward_error: Doubles, next_obs_error: Doubles, lipschitz: float, discount: float) -> Doubles:
    """[N] |r - r_hat| + g L ||s' - s_hat'||, in reward units: at least |r + g V(s') - r_hat - g V(s_hat')|.

    Args:
        reward_error: [N] in reward units. next_obs_error: [N] in the units that `lipschitz` is a slope of V in.
    """
    return reward_error + discount * lipschitz * next_obs_error


def assess(judged: Judged, units: str, bound: Doubles, share: float) -> list[Assessment]:
    """Every uncertainty of the held-out rows `judged` in `units`, with the `bound` [N] that a penalty has to cover."""
    found = []
    for name, u in judged.uncertainty.items():
        error, coef = judged.error_of(name), split_conformal_factor(u, bound, share)
        found.append(
            Assessment(
                uncertainty=name,
                units=units,
                mean=float(np.mean(u)),
                mean_error=float(np.mean(error)),
                rank_correlation=rank_correlation(u, error),
                admissible_share=admissible_share(u, error),
                conformal_factor=split_conformal_factor(u, error, share),
                backup_rank_correlation=rank_correlation(u, bound),
                penalty_coef=coef,
                mean_penalty=coef * float(np.mean(u)),
            )
        )
    return found


def choose(assessments: list[Assessment]) -> Assessment:
    """The standardised u, of those with the reward's spread, that orders rows best by what the penalty has to cover.

    Only the order counts, for lambda mends the size. Raw units are out: the dimension with the largest numbers would be
    the whole penalty. Disagreements of the next observation are out: they see no error of the reward, and none that
    the members share, of which there are more the farther a policy goes from the held-out rows that are looked at here.

    Raises:
        DataError: no u has a finite lambda.
    """
    able = [each for each in assessments if each.units == "standardised" and each.uncertainty in WITH_REWARD]
    usable = [each for each in able if math.isfinite(each.penalty_coef)]
    if not usable:
        raise DataError(
            "no factor on any uncertainty covers the stated share of the held-out rows; ask for a lower --share, hold"
            " more episodes out (model.holdout_fraction), or set agent.penalty_coef by hand"
        )
    return max(usable, key=lambda each: np.nan_to_num(each.backup_rank_correlation, nan=-2.0))


def finite_or_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON: what is NaN or infinite becomes None."""
    return {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in values.items()}
