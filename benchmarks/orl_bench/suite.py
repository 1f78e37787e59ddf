"""The table of benchmarks, which of them are wanted, and a run of these."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from orl.errors import UsageError
from orl_bench import loading, models, policies, scaling, start, transformer
from orl_bench.harness import Benchmark, Result, Setting, measure
from orl_bench.yardsticks import YARDSTICKS

BENCHMARKS: list[Benchmark] = [
    *models.BENCHMARKS,
    *policies.BENCHMARKS,
    *transformer.BENCHMARKS,
    *loading.BENCHMARKS,
    *start.BENCHMARKS,
    *scaling.BENCHMARKS,
]


def select(only: Sequence[str], quick: bool) -> list[Benchmark]:
    """Those whose group is one of `only` or whose name begins with one; all without `only`.

    Raises:
        UsageError: a name that fits no benchmark, or none that is part of a quick run.
    """
    offered = [each for each in BENCHMARKS if each.quick or not quick]
    for name in only:
        if not any(_fits(each, name) for each in offered):
            groups = ", ".join(dict.fromkeys(each.group for each in offered))
            names = ", ".join(each.name for each in offered)
            what = "quick benchmark" if quick else "benchmark"
            raise UsageError(f"--only {name}: no such {what}; groups are {groups}; names are {names}")
    return [each for each in offered if not only or any(_fits(each, name) for name in only)]


def run(benchmarks: Iterable[Benchmark], quick: bool, progress: Callable[[str], None]) -> list[Result]:
    """The results, in order; `progress` is told what comes next."""
    results = []
    for benchmark in benchmarks:
        progress(benchmark.name)
        with tempfile.TemporaryDirectory(prefix="orl-bench-") as folder:
            work = benchmark.make(Setting(quick, Path(folder)))
            results.append(measure(benchmark, work, YARDSTICKS[work.against]))
    return with_seed_ratios(results)


def with_seed_ratios(results: Sequence[Result]) -> list[Result]:
    """Where one seed was measured too, several get `over_single_runs`: their time over that of as many single runs.

    From shares of the machine's rate, for its speed may have changed in between.
    """
    by_name = {result.name: result for result in results}

    def one(result: Result) -> Result:
        seeds = int(result.extra.get("seeds", 1))
        single = by_name.get(result.name.removesuffix(f"-{seeds}-seeds")) if seeds > 1 else None
        if single is None:
            return result
        return replace(result, extra=result.extra | {"over_single_runs": single.relative / result.relative})

    return [one(result) for result in results]


def _fits(benchmark: Benchmark, name: str) -> bool:
    return benchmark.group == name or benchmark.name.startswith(name)
