"""What a penalty has to cover, worked out by hand, and which uncertainty is chosen for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orl.errors import DataError
from orl.evaluation.diagnosis.errors import Judged
from orl.evaluation.diagnosis.penalty import Assessment, assess, backup_error_bound, choose, finite_or_none


def test_the_bound_of_a_backups_error_by_hand() -> None:
    """|r - r_hat| + g L ||s' - s_hat'||: 2 + 0.9 * 5 * 3, and more than the error of every V that is 5-Lipschitz."""
    assert backup_error_bound(np.asarray([2.0]), np.asarray([3.0]), 5.0, 0.9) == pytest.approx([15.5])
    rng = np.random.default_rng(0)
    real, promised = rng.normal(size=(2, 500, 3))
    reward, expected = rng.normal(size=(2, 500))
    slope = rng.normal(size=3)
    slope *= 5.0 / np.linalg.norm(slope)
    bound = backup_error_bound(np.abs(reward - expected), np.linalg.norm(real - promised, axis=1), 5.0, 0.9)
    gaps = [
        np.abs(reward + 0.9 * value(real) - expected - 0.9 * value(promised))
        for value in (lambda s: s @ slope, lambda s: 5.0 * np.linalg.norm(s, axis=1), lambda s: -5.0 * np.abs(s[:, 1]))
    ]
    assert np.all(gaps <= bound + 1e-12)
    assert np.max(gaps / bound) > 0.99


def judged(u: dict[str, np.ndarray], next_obs: np.ndarray, reward: np.ndarray) -> Judged:
    """Errors and uncertainties as they are given."""
    return Judged(next_obs, reward, u, np.zeros((len(reward), 2), np.float32))


def test_an_assessment_by_hand() -> None:
    """Nine rows with errors 1..9 of the observation, 0 of the reward, and u = 2; a bound of ten times the error."""
    errors = np.arange(1.0, 10.0)
    rows = judged({"max_pairwise": np.full(9, 2.0), "max_std": errors[::-1]}, errors, np.zeros(9))
    flat, falling = assess(rows, "raw", 10.0 * errors, 0.8)
    assert flat[:4] == ("max_pairwise", "raw", 2.0, 5.0)
    assert math.isnan(flat.rank_correlation)
    assert flat.admissible_share == 2 / 9  # errors 1 and 2
    assert (flat.conformal_factor, flat.penalty_coef, flat.mean_penalty) == (4.0, 40.0, 80.0)  # the eighth of nine: 8
    assert (falling.rank_correlation, falling.backup_rank_correlation) == (pytest.approx(-1.0), pytest.approx(-1.0))
    assert falling.penalty_coef == 80.0 / 2.0  # ratios rise along the rows, so the eighth is error 8 over u 2


def test_uncertainties_with_the_rewards_spread_are_held_to_its_error() -> None:
    """Errors (3, 4) of observation and reward are one of 5 for max_std, and of 3 for max_deviation."""
    u = {"max_std": np.asarray([4.0] * 3), "max_deviation": np.asarray([4.0] * 3)}
    both, obs = assess(judged(u, np.full(3, 3.0), np.full(3, 4.0)), "raw", np.ones(3), 0.5)
    assert (both.mean_error, both.admissible_share) == (5.0, 0.0)
    assert (obs.mean_error, obs.admissible_share) == (3.0, 1.0)


def made(uncertainty: str, units: str, order: float, coef: float) -> Assessment:
    return Assessment(uncertainty, units, 1.0, 1.0, 0.0, 1.0, 1.0, order, coef, coef)


def test_the_one_that_orders_the_errors_best_is_chosen() -> None:
    """Among standardised ones that hold the reward's spread and have a finite lambda."""
    table = [
        made("max_std", "standardised", 0.4, 3.0),
        made("mixture_std", "standardised", 0.6, 50.0),
        made("max_pairwise", "standardised", 0.9, 1.0),
        made("max_std", "raw", 0.95, 1.0),
    ]
    assert choose(table) == table[1]
    assert choose([table[0], made("mixture_std", "standardised", 0.6, math.inf)]) == table[0]
    with pytest.raises(DataError, match="lower --share"):
        choose([made("mixture_std", "standardised", 0.6, math.inf), *table[2:]])


def test_an_order_that_does_not_exist_is_the_worst() -> None:
    """A u that is the same everywhere has no rank correlation."""
    wrong, none = made("max_std", "standardised", -0.9, 3.0), made("mixture_std", "standardised", math.nan, 1.0)
    assert choose([none, wrong]) == wrong
    assert choose([none]) == none


def test_numbers_that_do_not_exist_are_none() -> None:
    assert finite_or_none({"a": math.inf, "b": math.nan, "c": 1.5, "d": "x", "e": 3}) == {
        "a": None, "b": None, "c": 1.5, "d": "x", "e": 3
    }  # fmt: skip


def test_lambda_covers_its_share_of_new_rows() -> None:
    """Normal errors of spread v, u = v seen in part: lambda u >= bound on 90% of rows that had no part in it."""
    rng = np.random.default_rng(1)
    spread = rng.gamma(3.0, 1.0, (200, 500))
    u, bound = spread * rng.uniform(0.5, 1.5, spread.shape), np.abs(rng.standard_normal(spread.shape)) * spread
    shares = []
    for some, wrong in zip(u, bound, strict=True):
        rows = judged({"max_std": some[:250]}, wrong[:250], np.zeros(250))
        shares.append(np.mean(assess(rows, "raw", wrong[:250], 0.9)[0].penalty_coef * some[250:] >= wrong[250:]))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.02)
    assert stats.sem(shares) < 0.005
