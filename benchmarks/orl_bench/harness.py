"""Timing: compile first, wait for the device, measure the machine between repeats, take medians with their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from orl_bench.yardsticks import MATMUL, Yardstick

Call = Callable[[], Any]
Clock = Callable[[], float]
MARGIN = 0.35  # share of itself by which a benchmark's figure may fall; repeated runs differed by up to 0.28


class Setting(NamedTuple):
    """How a benchmark is made: whether small, and an empty folder that is removed after it."""

    quick: bool
    folder: Path


@dataclass(frozen=True)
class Work:
    """What one benchmark measures.

    Attributes:
        workload: in words. unit, count: what `call` does, and how many of it. repeats: timed calls.
        amount: what `call` needs of the yardstick's unit: GFLOP, GB or starts.
        against: the yardstick's name. overhead: another call whose time is no part of the claim and is subtracted.
        warm: whether a first call, which compiles, goes before the timed ones. extra: further numbers, by name.
    """

    workload: str
    unit: str
    count: float
    amount: float
    call: Call
    repeats: int
    against: str = MATMUL
    overhead: Call | None = None
    warm: bool = True
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A line of BENCHMARKS. quick: whether it is part of `--quick`. margin: by how much its figure may fall."""

    name: str
    group: str
    make: Callable[[Setting], Work]
    quick: bool = True
    margin: float = MARGIN


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        rate: `unit` per second. compile_s: the first call less a later one; None where nothing is compiled.
        gflop: operations that one call needs, and share: the part of the matrix-product rate that they made use of;
            None where arithmetic says nothing. against: the yardstick; machine_rate: its rate between the repeats.
        relative: the part of the yardstick's rate that was reached: what is compared. margin: by how much it may fall.
    """

    name: str
    group: str
    workload: str
    unit: str
    rate: float
    repeats: int
    compile_s: float | None
    median_ms: float
    iqr_ms: float
    gflop: float | None
    share: float | None
    against: str
    machine_rate: float
    relative: float
    margin: float
    extra: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure(benchmark: Benchmark, work: Work, yardstick: Yardstick, clock: Clock = time.perf_counter) -> Result:
    """Time `work.call`, the yardstick before and after each call, so that both see the same machine.

    The figure compared is the median over calls of amount / seconds / (mean of the two readings around the call).
    """
    first = seconds_of(work.call, clock) if work.warm else None
    beside = _overhead(work, clock)
    seconds: list[float] = []
    readings = [yardstick()]
    for _ in range(work.repeats):
        seconds.append(seconds_of(work.call, clock) - beside)
        readings.append(yardstick())
    around = [(before + after) / 2 for before, after in pairwise(readings)]
    relative = statistics.median(work.amount / spent / reading for spent, reading in zip(seconds, around, strict=True))
    median, counted = statistics.median(seconds), work.against == MATMUL
    return Result(
        name=benchmark.name,
        group=benchmark.group,
        workload=work.workload,
        unit=work.unit,
        rate=work.count / median,
        repeats=work.repeats,
        compile_s=None if first is None else max(first - beside - median, 0.0),
        median_ms=1e3 * median,
        iqr_ms=1e3 * interquartile(seconds),
        gflop=work.amount if counted else None,
        share=relative if counted else None,
        against=work.against,
        machine_rate=statistics.median(readings),
        relative=relative,
        margin=benchmark.margin,
        extra=dict(work.extra),
    )


def interquartile(values: list[float]) -> float:
    """The distance between the quartiles; 0 of a single value."""
    if len(values) < 2:
        return 0.0
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    return quartiles[2] - quartiles[0]


def _overhead(work: Work, clock: Clock) -> float:
    if work.overhead is None:
        return 0.0
    work.overhead()
    return statistics.median(seconds_of(work.overhead, clock) for _ in range(work.repeats))


def seconds_of(call: Call, clock: Clock = time.perf_counter) -> float:
    """Seconds until what `call` returns is there."""
    import jax

    began = clock()
    jax.block_until_ready(call())
    return clock() - began
