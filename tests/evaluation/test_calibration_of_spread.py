"""Coverage of central intervals and its distance from the nominal levels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from orl.evaluation.diagnosis.calibration import LEVELS, central_coverage, expected_calibration_error


def test_coverage_by_hand() -> None:
    """The central 68.27% of a standard normal are +-1, the central 95.45% +-2; what is no number is not covered."""
    z = np.asarray([[0.5, 0.0], [-1.5, 3.0], [0.9, np.nan], [2.5, -1.9]])
    np.testing.assert_array_equal(central_coverage(z, [0.6827, 0.9545]), [[0.5, 0.25], [0.75, 0.5]])


def test_a_right_spread_covers_every_level() -> None:
    """Standard normal residuals in two dimensions; and the same by SciPy's quantiles."""
    z = np.random.default_rng(0).standard_normal((40_000, 2))
    coverage = central_coverage(z)
    np.testing.assert_allclose(coverage, np.asarray(LEVELS)[:, None] + np.zeros(2), atol=0.01)
    expected = [np.mean((z > stats.norm.ppf(0.5 - p / 2)) & (z < stats.norm.ppf(0.5 + p / 2)), axis=0) for p in LEVELS]
    np.testing.assert_allclose(coverage, expected)
    assert expected_calibration_error(coverage) < 0.01


def test_a_spread_half_as_wide_covers_too_little() -> None:
    """Residuals of N(0, 2^2): the share inside the central p is 2 Phi(q / 2) - 1 with q the half width of p."""
    z = 2.0 * np.random.default_rng(1).standard_normal((40_000, 1))
    expected = 2.0 * stats.norm.cdf(stats.norm.ppf(0.5 + np.asarray(LEVELS) / 2) / 2.0) - 1.0
    np.testing.assert_allclose(central_coverage(z)[:, 0], expected, atol=0.01)


def test_the_calibration_error_by_hand() -> None:
    """|0.4 - 0.5|, |0.9 - 0.8| in one dimension; 0.3 and 0 in another; their mean over both."""
    coverage = np.asarray([[0.4, 0.8], [0.9, 0.8]])
    assert expected_calibration_error(coverage[:, 0], [0.5, 0.8]) == pytest.approx(0.1)
    assert expected_calibration_error(coverage[:, 1], [0.5, 0.8]) == pytest.approx(0.15)
    assert expected_calibration_error(coverage, [0.5, 0.8]) == pytest.approx(0.125)
