"""What this machine can do by itself, measured in the same process as what is compared with it."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MATMUL, COPY, PYTHON = "matmul", "copy", "python start"
CPU_SIDE, ACCELERATOR_SIDE = 1024, 8192  # of the square product: long enough to be a rate, short beside the work
COPIED = 1 << 26  # bytes, more than caches hold
READINGS = 3

Yardstick = Callable[[], float]


def matmul_gflops() -> float:
    """GFLOP/s of a square float32 matrix product at jax's default precision."""
    side = CPU_SIDE if jax.default_backend() == "cpu" else ACCELERATOR_SIDE
    product, operand = _product(side)
    return 2.0 * side**3 / 1e9 / _median_seconds(lambda: product(operand).block_until_ready())


def copy_gigabytes() -> float:
    """GB/s of copying an array with NumPy."""
    source, target = _arrays()
    return COPIED / 1e9 / _median_seconds(lambda: np.copyto(target, source))


def python_starts() -> float:
    """Starts a second of `python -c "import numpy"`."""
    command = [sys.executable, "-c", "import numpy"]
    return 1.0 / _median_seconds(lambda: subprocess.run(command, check=True))


YARDSTICKS: dict[str, Yardstick] = {MATMUL: matmul_gflops, COPY: copy_gigabytes, PYTHON: python_starts}


@functools.cache
def _product(side: int) -> tuple[Any, jax.Array]:
    operand = jax.random.normal(jax.random.key(0), (side, side), jnp.float32)
    product = jax.jit(lambda x: x @ x)
    product(operand).block_until_ready()  # compiles
    return product, operand


@functools.cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    return np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)


def _median_seconds(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(READINGS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
