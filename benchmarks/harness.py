"""Timing: compile once, block on the device, medians with spread, and the machine's matrix-product rate beside them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp

MATMUL = 1024  # side of the square float32 product that stands for what the machine can do


@dataclass(frozen=True)
class Result:
    """One line: `rate` counts `unit` per second, `share` is the part of the matrix-product rate that `gflop` used."""

    name: str
    workload: str
    unit: str
    rate: float
    compile_s: float
    median_ms: float
    iqr_ms: float
    gflop: float
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure(call: Callable[[], Any], repeats: int) -> tuple[float, list[float]]:
    """(seconds of the first call, which compiles; seconds of each of the `repeats` that follow)."""
    first = _seconds(call)
    return first, [_seconds(call) for _ in range(repeats)]


def matmul_gflops(repeats: int = 15) -> float:
    """The machine's float32 matrix-product rate in GFLOP/s, median of `repeats`."""
    a = jax.random.normal(jax.random.key(0), (MATMUL, MATMUL))
    product = jax.jit(lambda x: x @ x)
    _, seconds = measure(lambda: product(a), repeats)
    return 2.0 * MATMUL**3 / statistics.median(seconds) / 1e9


def result(
    name: str, workload: str, unit: str, count: int, gflop: float, call: Callable[[], Any], repeats: int
) -> Result:
    """Measure `call`, which does `count` units of work in `gflop` of arithmetic."""
    first, seconds = measure(call, repeats)
    median = statistics.median(seconds)
    quartiles = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [median, median, median]
    return Result(
        name=name,
        workload=workload,
        unit=unit,
        rate=count / median,
        compile_s=max(first - median, 0.0),
        median_ms=1e3 * median,
        iqr_ms=1e3 * (quartiles[2] - quartiles[0]),
        gflop=gflop,
        share=gflop / median / matmul_gflops(5),
    )


def random_rows(rows: int, width: int, seed: int = 0) -> jax.Array:
    """[rows, width] standard normal values."""
    return jax.random.normal(jax.random.key(seed), (rows, width), jnp.float32)


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began
