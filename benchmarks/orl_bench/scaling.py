"""How cost grows with rows and with seeds: what a unit costs should stay the same."""

from __future__ import annotations

from functools import partial

from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.models import ensemble_work
from orl_bench.policies import update_work

ROWS = {"20k": 20_000, "2m": 2_000_000}
SEEDS = (1, 4, 16)


def _ensemble(rows: int, setting: Setting) -> Work:
    return ensemble_work(rows, repeats=3 if rows < 1_000_000 else 1)


def _update(rows: int, setting: Setting) -> Work:
    return update_work("mopo", False, rows=rows, repeats=5)


def _seeds(seeds: int, setting: Setting) -> Work:
    return update_work("mopo", False, seeds, repeats=3)


BENCHMARKS = [
    *(Benchmark(f"scaling-ensemble-{size}", "scaling", partial(_ensemble, rows), False) for size, rows in ROWS.items()),
    *(Benchmark(f"scaling-update-{size}", "scaling", partial(_update, rows), False) for size, rows in ROWS.items()),
    *(Benchmark(f"scaling-seeds-{seeds}", "scaling", partial(_seeds, seeds), False) for seeds in SEEDS),
]
