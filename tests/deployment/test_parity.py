"""Differences between what a file and what the policy answers, by hand."""

from __future__ import annotations

import numpy as np

from orl.deployment.parity import LIMIT, Parity, compare
from orl.types import Spec

SPEC = Spec(1, 2, (-1.0, 0.0), (1.0, 10.0), 1)


def answers(**changes: object) -> dict[str, np.ndarray]:
    parts = {"action": [[0.5, 5.0], [0.0, 1.0]], "uncertainty": [2.0, 0.1], "out_of_distribution": [True, False]}
    parts |= {"next_memory": [[7.0, 0.5, 0.0, 1.0], [7.0, 0.0, -0.8, 1.0]]}
    return {name: np.asarray(each) for name, each in (parts | changes).items()}


def test_differences_are_in_units_of_the_range() -> None:
    """0.002 of a range of 2 and 0.05 of one of 10: the second dimension is five times as far off."""
    found = answers(
        action=[[0.502, 5.05], [0.0, 1.0]],
        next_memory=[[7.0, 0.5, 0.004, 1.0], [7.0, 0.0, -0.8, 1.0]],
        uncertainty=[2.02, 0.11],
        out_of_distribution=[True, True],
    )
    parity = compare(answers(), found, SPEC, threshold=0.5)
    np.testing.assert_allclose(parity[:3], [0.005, 0.002, 0.02], rtol=1e-6)  # 0.01 of the threshold, not of 0.1
    assert parity.flags == 1
    assert not parity.holds


def test_what_is_allowed() -> None:
    assert compare(answers(), answers(), SPEC) == Parity(0.0, 0.0, 0.0, 0)
    assert Parity(LIMIT, LIMIT, 1e-3, 5).holds
    assert not Parity(1.01 * LIMIT).holds
    assert not Parity(0.0, 1.01 * LIMIT).holds
    assert not Parity(0.0, 0.0, 1.1e-3).holds


def test_what_is_missing_or_no_number_is_no_agreement() -> None:
    lacking = {name: each for name, each in answers().items() if name != "uncertainty"}
    assert not compare(answers(), lacking, SPEC).holds
    for name in ("action", "uncertainty", "next_memory"):
        found = answers()
        found[name] = found[name] * np.nan
        assert not compare(answers(), found, SPEC, 0.5).holds
