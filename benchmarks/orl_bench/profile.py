"""Where the time of one call goes: by kind of operation and by place, and the rate that its products reach alone.

The profiler says when each instruction of a compiled program ran; the program's text says what it is. Large products
return at once and run beside what follows, so their events say little: how often they ran is taken from them, how long
one takes is measured by itself. Other events are per thread and are added up; they too may overlap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from orl.errors import UsageError
from orl_bench.alone import shares_alone
from orl_bench.harness import Benchmark, Call, Setting, seconds_of
from orl_bench.hlo import Program, read_program
from orl_bench.operations import PRODUCTS, Event, Line, lines_of, operations_of
from orl_bench.yardsticks import MATMUL, YARDSTICKS

LINES = 15  # places in a document or a table


@dataclass(frozen=True)
class Profile:
    """One call of a benchmark.

    Attributes:
        call_seconds: of the profiled call. operation_seconds: products as long as they take alone, and the sum of all
            threads' other operations: more than the call's where they ran beside each other.
        machine_gflops: the square product's rate around the call. kinds: each one's share of operation_seconds.
        product_gflops: the rate of all products alone; product_share_of_machine: over the machine's.
        lines: all places, the longest first.
    """

    name: str
    workload: str
    call_seconds: float
    operation_seconds: float
    machine_gflops: float
    product_gflops: float | None
    product_share_of_machine: float | None
    kinds: Mapping[str, float]
    lines: Sequence[Line]

    @property
    def share_outside_products(self) -> float:
        """The part of operation_seconds that is not in matrix products."""
        return 1.0 - self.kinds[PRODUCTS]

    @property
    def longest(self) -> Sequence[Line]:
        """The lines worth showing."""
        return self.lines[:LINES]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the longest lines only."""
        changed = {
            "lines": [asdict(line) for line in self.longest],
            "share_outside_products": self.share_outside_products,
        }
        return asdict(self) | changed


def profile(benchmarks: Iterable[Benchmark], quick: bool, progress: Callable[[str], None]) -> list[Profile]:
    """The profiles of those whose operations run in this process, in order; `progress` is told what comes next.

    Raises:
        UsageError: not on a CPU, whose profiles name every instruction; or none runs operations in this process.
    """
    if jax.default_backend() != "cpu":
        raise UsageError(f"--profile reads the operations of a CPU only, this is {jax.default_backend()}: --device cpu")
    profiles = []
    for benchmark in benchmarks:
        progress(benchmark.name)
        with tempfile.TemporaryDirectory(prefix="orl-bench-") as folder:
            found = _one(benchmark, quick, Path(folder))
        if found:
            profiles.append(found)
        else:
            progress(f"{benchmark.name} runs no compiled operations in this process: nothing to profile")
    if not profiles:
        raise UsageError("--profile: none of these benchmarks runs compiled operations in this process")
    return profiles


def _one(benchmark: Benchmark, quick: bool, folder: Path) -> Profile | None:
    work = benchmark.make(Setting(quick, folder))
    if work.against != MATMUL:
        return None
    yardstick = YARDSTICKS[MATMUL]
    seconds_of(work.call)  # compiles
    before = yardstick()
    events, seconds = traced(work.call, folder)
    machine = (before + yardstick()) / 2
    if not events:
        return None
    operations = operations_of(events, live_programs({event.program for event in events}))
    alone = shares_alone((product for each in operations for product in each.products), yardstick)
    lines, kinds = lines_of(operations, alone, machine)
    products = [line for line in lines if line.kind == PRODUCTS]
    spent = sum(line.seconds for line in products)
    rate = sum(line.gflop * line.executions for line in products) / spent if spent else None
    return Profile(
        name=benchmark.name,
        workload=work.workload,
        call_seconds=seconds,
        operation_seconds=sum(line.seconds for line in lines),
        machine_gflops=machine,
        product_gflops=rate,
        product_share_of_machine=rate / machine if rate is not None else None,
        kinds=kinds,
        lines=lines,
    )


def traced(call: Call, folder: Path) -> tuple[list[Event], float]:
    """What ran during a call, and the seconds that it took; the trace is written to `folder`."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python's own calls would only slow it down
    with jax.profiler.trace(folder, profiler_options=options):
        seconds = seconds_of(call)
    [file] = folder.rglob("*.xplane.pb")
    data = jax.profiler.ProfileData.from_file(str(file))
    events = [event for plane in data.planes for line in plane.lines for event in line.events]
    facts = [(dict(event.stats), 1e-9 * event.duration_ns) for event in events]
    ran = [Event(each["hlo_module"], each["hlo_op"], spent) for each, spent in facts if "hlo_op" in each]
    return ran, seconds


def live_programs(names: Collection[str]) -> list[Program]:
    """The compiled programs of these names that this process holds."""
    executables = jax.devices()[0].client.live_executables()
    modules = [module for executable in executables for module in executable.hlo_modules()]
    return [read_program(module.to_string()) for module in modules if module.name in names]
