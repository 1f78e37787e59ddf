"""Golden values of the sequence models and of plans: see test_golden.py, which says what is protected and how."""

from __future__ import annotations

import pytest
import sequence_cases
from cases import recorded
from digest import differences, digest


@pytest.mark.parametrize("case", sequence_cases.CASES)
def test_result_is_unchanged(case: str, quick_compiles: None) -> None:
    """Up to rounding."""
    changed = differences(recorded()[case], digest(sequence_cases.CASES[case]()))
    assert not changed, "\n".join(changed)
