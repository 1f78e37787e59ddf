"""Budgets: durations, and updates scaled by hand."""

from __future__ import annotations

import pytest

from orl.errors import UsageError
from orl.runs.budget import BudgetConfig, Cost, common_factor, parse_duration, scaled_steps, whole_epochs


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45m", 2700), ("2h", 7200), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800), (" 1h2m3s ", 3723)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["45", "", "0m", "m", "45 min", "-2h", "1m1h", "nan s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a time such as 45m, 2h, 90s or 1h30m"):
        parse_duration(text)


def test_shares_must_leave_time_for_training() -> None:
    with pytest.raises(UsageError, match=r"budget\.model 0\.5 and budget\.judgement 0\.5 leave no time for training"):
        BudgetConfig(model=0.5, judgement=0.5)


def test_runs_are_whole_epochs() -> None:
    assert [whole_epochs(steps, 1000) for steps in (1, 1000, 1001)] == [1000, 1000, 2000]


def test_with_time_enough_everyone_gets_what_it_wants() -> None:
    costs = [Cost(5.0, 0.01), Cost(5.0, 0.02)]
    assert scaled_steps([20_000, 10_001], costs, [1000, 1000], 1e9, 2000) == [20_000, 11_000]


def test_all_are_cut_by_the_same_factor() -> None:
    """10 + 10 s of overhead and 100 + 300 s of updates into 220 s: half of the updates."""
    costs = [Cost(10.0, 0.01), Cost(10.0, 0.03)]
    assert scaled_steps([10_000, 10_000], costs, [1000, 1000], 220.0, 2000) == [5000, 5000]
    # 0.575 of 10,000 is 5750: whole epochs below it
    assert scaled_steps([10_000, 10_000], costs, [1000, 500], 250.0, 2000) == [5000, 5500]


def test_none_falls_below_the_minimum_and_the_others_share_what_is_left() -> None:
    """A wants 4000 at 10 ms, B 20,000 at 10 ms, 100 s: a factor of 0.417 would give A 1667 of its 2000; so A takes
    20 s and B the other 80 s, 8000 updates."""
    costs = [Cost(0.0, 0.01), Cost(0.0, 0.01)]
    assert scaled_steps([4000, 20_000], costs, [1000, 1000], 100.0, 2000) == [2000, 8000]


def test_who_wants_less_than_the_minimum_gets_all_of_it() -> None:
    costs = [Cost(0.0, 0.01), Cost(0.0, 0.01)]
    assert scaled_steps([500, 20_000], costs, [500, 1000], 45.0, 2000) == [500, 4000]


def test_the_last_are_left_out_where_not_all_minima_fit() -> None:
    """Minima of 20 s each: 45 s hold two of three; the two then share the 45 s, 2250 each, whole epochs 2000."""
    costs = [Cost(0.0, 0.01)] * 3
    assert scaled_steps([20_000] * 3, costs, [1000] * 3, 45.0, 2000) == [2000, 2000, None]
    assert scaled_steps([20_000] * 3, costs, [1000] * 3, 19.9, 2000) == [None, None, None]
    assert scaled_steps([20_000] * 3, costs, [1000] * 3, -1.0, 2000) == [None, None, None]


@pytest.mark.parametrize("available", [71.0, 100.0, 333.0, 700.0])
def test_the_factor_uses_the_time_up(available: float) -> None:
    """At f the time is exactly what there is; that f is the largest such number follows, as time grows with it."""
    wanted, least, costs = (
        [4000, 20_000, 9000],
        [2000, 2000, 2000],
        [Cost(3.0, 0.01), Cost(1.0, 0.02), Cost(2.0, 0.0025)],
    )
    factor = common_factor(wanted, least, costs, available)
    steps = [max(low, factor * steps) for steps, low in zip(wanted, least, strict=True)]
    took = sum(cost.overhead + cost.per_step * each for cost, each in zip(costs, steps, strict=True))
    whole = 6.0 + 40.0 + 400.0 + 22.5
    assert took == pytest.approx(min(available, whole))
    assert (factor == 1.0) == (available > whole)
