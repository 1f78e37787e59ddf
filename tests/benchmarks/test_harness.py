"""Statistics of the timing, on a clock that the calls move by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orl_bench.harness import Benchmark, Setting, Work, interquartile, measure
from orl_bench.yardsticks import COPY


class Machine:
    """A clock, and calls that take as long as they are told."""

    def __init__(self, seconds: list[float], readings: list[float], beside: float = 0.0) -> None:
        self.now, self.beside, self.calls = 0.0, beside, 0
        self._seconds, self._readings = iter(seconds), iter(readings)

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += next(self._seconds)

    def overhead(self) -> None:
        self.now += self.beside

    def yardstick(self) -> float:
        self.now += 1000.0  # no part of any time
        return next(self._readings)


def _never(setting: Setting) -> Work:
    raise AssertionError


LINE = Benchmark("sums", "made", _never, margin=0.3)


def test_the_first_call_compiles_and_the_share_is_taken_from_the_machine_as_it_was_around_each_call() -> None:
    machine = Machine(seconds=[9.0, 1.0, 2.0, 4.0], readings=[10.0, 10.0, 30.0, 50.0])
    work = Work("adding", "sums", count=6, amount=8.0, call=machine.call, repeats=3, extra={"rows": 5})
    result = measure(LINE, work, machine.yardstick, machine.clock)
    assert machine.calls == 4
    assert (result.median_ms, result.rate, result.compile_s) == (2000.0, 3.0, 7.0)
    # 8/1/10 = 0.8, 8/2/20 = 0.2, 8/4/40 = 0.05
    assert result.relative == result.share == pytest.approx(0.2)
    assert result.machine_rate == 20.0
    assert result.iqr_ms == pytest.approx(1500.0)
    assert (result.gflop, result.margin, result.extra) == (8.0, 0.3, {"rows": 5})


def test_the_overhead_is_subtracted_from_every_call() -> None:
    machine = Machine(seconds=[5.0, 1.5, 1.5], readings=[1.0] * 3, beside=0.5)
    work = Work("adding", "sums", 2, 3.0, machine.call, repeats=2, overhead=machine.overhead)
    result = measure(LINE, work, machine.yardstick, machine.clock)
    assert (result.median_ms, result.rate, result.compile_s, result.relative) == (1000.0, 2.0, 3.5, 3.0)


def test_where_arithmetic_says_nothing_there_is_no_share_and_no_compilation() -> None:
    machine = Machine(seconds=[2.0], readings=[4.0, 4.0])
    work = Work("reading", "rows", 100, 2.0, machine.call, repeats=1, against=COPY, warm=False)
    result = measure(LINE, work, machine.yardstick, machine.clock)
    assert (result.gflop, result.share, result.compile_s) == (None, None, None)
    assert (result.against, result.relative, result.rate, result.iqr_ms) == ("copy", 0.25, 50.0, 0.0)


@pytest.mark.parametrize(("values", "spread"), [([3.0], 0.0), ([1.0, 2.0, 3.0, 4.0, 5.0], 2.0), ([1.0, 3.0], 1.0)])
def test_interquartile(values: list[float], spread: float) -> None:
    assert interquartile(values) == pytest.approx(spread)


def test_yardsticks_are_positive_rates() -> None:
    from orl_bench.yardsticks import YARDSTICKS

    def rates() -> Iterator[float]:
        yield from (reading() for reading in YARDSTICKS.values())

    assert all(rate > 0 for rate in rates())
