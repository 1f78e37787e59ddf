"""How far values can be from zero: worked by hand for every algorithm's own addition to rewards."""

from __future__ import annotations

from typing import Any

import pytest

from orl.algorithms import ALGORITHMS
from orl.algorithms.value_range import value_range
from orl.config import build


def settings_of(name: str, **settings: Any) -> Any:
    return build(ALGORITHMS[name].config, settings)


SAC = {"alpha": 0.5, "entropy": -2.0}


@pytest.mark.parametrize(
    ("name", "settings", "metrics", "low", "high"),
    [
        # (3 + 0.5 * 2) / 0.1
        ("mbpo", {"discount": 0.9}, SAC, -40.0, 40.0),
        # alpha counts as it began at most: (3 + 0.25 * 2) / 0.1
        ("mbpo", {"discount": 0.9, "initial_alpha": 0.25}, SAC, -35.0, 35.0),
        # no entropy in the targets
        ("mbpo", {"discount": 0.9, "deterministic_backup": True}, SAC, -30.0, 30.0),
        # a penalty of 2 a step makes low values legitimate, not high ones
        ("mopo", {"discount": 0.9}, SAC | {"penalty": 2.0}, -60.0, 40.0),
        # an inconsistency of values cannot excuse values: counted up to 3
        ("mobile", {"discount": 0.9}, SAC | {"penalty": 1e6}, -60.0, 30.0),
        ("mobile", {"discount": 0.9}, SAC | {"penalty": 1.0}, -40.0, 30.0),
        # (3 + 2.5) / 0.1: the conservative term lifts logged pairs
        ("cql", {"discount": 0.9, "conservative_weight": 2.5}, SAC, -55.0, 55.0),
        # two dimensions of action: 0.25 * 4 * 2 a step
        ("rebrac", {"discount": 0.9, "critic_bc_coef": 0.25}, {}, -50.0, 30.0),
        ("mobrac", {"discount": 0.9, "critic_bc_coef": 0.25}, {"penalty": 1.0}, -60.0, 30.0),
        # HALT pays -50 once, or -4 a step for ever
        ("morel", {"discount": 0.9, "deterministic_backup": True}, SAC, -80.0, 30.0),
        ("morel", {"discount": 0.9, "deterministic_backup": True, "halt_value": "kappa"}, SAC, -30.0, 30.0),
        (
            "morel",
            {"discount": 0.9, "deterministic_backup": True, "halt_value": "kappa", "kappa": 4.0},
            SAC,
            -70.0,
            30.0,
        ),
    ],
)
def test_range_worked_by_hand(
    name: str, settings: dict[str, Any], metrics: dict[str, float], low: float, high: float
) -> None:
    found = value_range(settings_of(name, **settings), 2, 3.0, metrics)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.share(2 * high) == pytest.approx(2.0)
    assert found.share(3 * low) == pytest.approx(3.0)
    assert found.share(0.0) == 0.0


def test_there_is_none_without_critics_or_rewards() -> None:
    assert value_range(settings_of("bc"), 2, 3.0, {}) is None
    assert value_range(settings_of("rebrac"), 2, 0.0, {}) is None
