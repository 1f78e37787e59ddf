"""Results and benchmarks made up for the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orl_bench.harness import Result


@pytest.fixture
def made_result() -> Callable[..., Result]:
    """A result of a name and a figure; the rest can be changed by name."""

    def make(name: str, relative: float, **changes: Any) -> Result:
        values: dict[str, Any] = {
            "name": name,
            "group": "made",
            "workload": "two twos",
            "unit": "sums",
            "rate": 10.0,
            "repeats": 3,
            "compile_s": 0.5,
            "median_ms": 100.0,
            "iqr_ms": 2.0,
            "gflop": 1.0,
            "share": relative,
            "against": "matmul",
            "machine_rate": 100.0,
            "relative": relative,
            "margin": 0.25,
            "extra": {},
        }
        return Result(**(values | changes))

    return make
