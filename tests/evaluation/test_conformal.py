"""Split-conformal factors: by hand, against a brute force, and their share on data they have not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orl.errors import UsageError
from orl.evaluation.diagnosis.conformal import admissible_share, needed_factors, split_conformal_factor


def test_the_factor_by_hand() -> None:
    """Ratios 1, 2, 3, 4: of five exchangeable rows the new one lies below the fourth of the others in four cases."""
    u, error = np.asarray([1.0, 2.0, 1.0, 0.5]), np.asarray([3.0, 2.0, 2.0, 2.0])
    np.testing.assert_allclose(needed_factors(u, error), [3.0, 1.0, 2.0, 4.0])
    found = {share: split_conformal_factor(u, error, share) for share in (0.2, 0.21, 0.4, 0.6, 0.8, 0.81)}
    assert found == {0.2: 1.0, 0.21: 2.0, 0.4: 2.0, 0.6: 3.0, 0.8: 4.0, 0.81: math.inf}


def test_rounding_does_not_ask_for_one_row_more() -> None:
    """(99 + 1) * 0.55 is 55.000000000000007 in floating point; the 55th smallest is meant."""
    assert 100 * 0.55 > 55
    assert split_conformal_factor(np.ones(99), np.arange(1.0, 100.0), 0.55) == 55.0


ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.sampled_from([0.0, 1.0, 2.0, 3.0])), max_size=12)


@given(ROWS, st.sampled_from([0.1, 0.5, 0.75, 0.9]))
def test_the_factor_is_the_least_that_covers_enough_rows(rows: list[tuple[float, float]], share: float) -> None:
    """Against a search over all factors that matter, with ties, u = 0 and errors of 0."""
    u, error = np.asarray(rows, float).reshape(-1, 2).T
    needed = share * (len(rows) + 1)
    tried = sorted({0.0} | {e / v for v, e in rows if v > 0})
    enough = [f for f in tried if sum(f * v >= e for v, e in rows) >= needed - 1e-9]
    assert split_conformal_factor(u, error, share) == (enough[0] if enough else math.inf)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("ties", [False, True])
def test_the_share_on_new_data_is_the_stated_one(share: float, ties: bool) -> None:
    """Errors whose spread u knows only in part; 150 rows calibrate, 500 others judge, 400 times over.

    Within 2 points of nominal; with ties it may cover more, never less.
    """
    rng, achieved = np.random.default_rng(0), []
    for _ in range(400):
        u = rng.gamma(2.0, 1.0, 650)
        error = np.abs(rng.standard_t(3, 650)) * u ** rng.uniform(0.3, 1.0)
        if ties:
            u, error = np.ceil(u), np.ceil(error)
        factor = split_conformal_factor(u[:150], error[:150], share)
        achieved.append(np.mean(factor * u[150:] >= error[150:]))
    assert np.mean(achieved) > share - 0.005
    assert ties or np.mean(achieved) < share + 0.02


def test_rows_that_no_factor_covers() -> None:
    """u = 0 with an error, an infinite error, and what is not a number need an infinite factor; no error needs 0."""
    u = np.asarray([0.0, 0.0, 1.0, 1.0, np.nan, 2.0, np.inf])
    error = np.asarray([1.0, 0.0, np.inf, np.nan, 0.0, 0.0, 5.0])
    np.testing.assert_array_equal(needed_factors(u, error), [np.inf, 0.0, np.inf, np.inf, np.inf, 0.0, 0.0])
    assert split_conformal_factor(np.zeros(9), np.r_[np.zeros(8), 1.0], 0.8) == 0.0
    assert split_conformal_factor(np.zeros(9), np.r_[np.zeros(8), 1.0], 0.9) == math.inf
    assert split_conformal_factor(np.zeros(0), np.zeros(0), 0.5) == math.inf


def test_the_admissible_share_by_hand() -> None:
    """Ratios 3, 1, 2, inf: u as it is covers one row in four, twice u two, any multiple never the last."""
    u, error = np.asarray([1.0, 2.0, 1.0, 0.0]), np.asarray([3.0, 2.0, 2.0, 2.0])
    assert [admissible_share(u, error, factor) for factor in (1.0, 2.0, 2.9, 1e9)] == [0.25, 0.5, 0.5, 0.75]
    assert admissible_share(u, error) == 0.25
    assert math.isnan(admissible_share([], []))


def test_the_factor_covers_its_share_of_its_own_rows() -> None:
    """On the rows that made it, ceil((n + 1) share) of n: no rounding loses the row that decides."""
    rng = np.random.default_rng(1)
    u, error = rng.gamma(1.0, 1.0, 199), rng.gamma(1.0, 1.0, 199)
    assert admissible_share(u, error, split_conformal_factor(u, error, 0.9)) == 180 / 199


@pytest.mark.parametrize("share", [0.0, 1.0, 95.0, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        split_conformal_factor([1.0], [1.0], share)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\)"):
        needed_factors(np.ones(2), np.ones(3))
