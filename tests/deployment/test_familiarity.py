"""Factor and threshold of the flag: worked by hand, and their share on rows that calibration has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from orl.deployment.familiarity import COVERED, calibrated
from orl.errors import UsageError


def test_worked_by_hand() -> None:
    """Of 99 rows the 90th disagreement is the 0.9 quantile; 92 ratios are 2, four are 3, and the 95th counts."""
    u = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    error = u * np.select([u <= 92, u <= 96], [2.0, 3.0], 5.0)
    found = calibrated(u, error, 0.9)
    assert found is not None
    assert (COVERED, found.factor, found.threshold) == (0.95, 3.0, 3.0 * 90.0)


def test_familiar_rows_are_flagged_as_seldom_as_stated() -> None:
    """A tenth of new rows of the same kind, whatever their distribution; nearly all of those ten times as uncertain."""
    rng = np.random.default_rng(1)
    u, new = rng.lognormal(size=4000), rng.lognormal(size=20_000)
    found = calibrated(u, u * rng.uniform(size=4000), 0.9)
    assert found is not None
    assert np.mean(found.factor * new > found.threshold) == pytest.approx(0.1, abs=0.015)
    assert np.mean(found.factor * 10.0 * new > found.threshold) > 0.8


def test_members_that_never_disagree_make_no_flag() -> None:
    assert calibrated(np.zeros(500), np.ones(500), 0.9) is None
    assert calibrated(np.r_[np.zeros(480), np.ones(20)], np.ones(500), 0.98) is None  # no factor covers the errors


def test_too_few_rows_tell_no_high_quantile() -> None:
    with pytest.raises(UsageError, match=r"50 held-out rows tell no quantile of 0.99; give --quantile 0.98 or less"):
        calibrated(np.ones(50), np.ones(50), 0.99)
    assert calibrated(np.ones(50), np.ones(50), 0.98) is not None
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        calibrated(np.ones(50), np.ones(50), 1.0)
