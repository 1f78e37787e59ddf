"""Rank correlation by hand and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orl.evaluation.diagnosis.ranks import average_ranks, rank_correlation


def test_ties_share_the_mean_of_their_ranks() -> None:
    np.testing.assert_array_equal(average_ranks([3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0])


def test_rank_correlation_by_hand() -> None:
    """1 for any rising function, -1 for any falling; 1 - 6 sum d^2 / (n^3 - n) with d = (0, 1, 1, 0) is 0.8."""
    x = np.asarray([0.1, 5.0, 2.0, 3.0])
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]) == pytest.approx(0.8)


@pytest.mark.parametrize("values", [3, 1000])
def test_rank_correlation_is_scipys(values: int) -> None:
    """With many ties and with few; infinite values have a rank too."""
    rng = np.random.default_rng(values)
    a = rng.integers(0, values, 500).astype(float)
    b = a + rng.integers(-values, values, 500)
    b[3] = math.inf
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_where_there_is_no_rank_correlation() -> None:
    """One row, one value, no number."""
    for a, b in (([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, math.nan], [1.0, 2.0])):
        assert math.isnan(rank_correlation(a, b))
    with pytest.raises(ValueError, match=r"got shapes \(1,\) and \(2,\)"):
        rank_correlation([1.0], [1.0, 2.0])
