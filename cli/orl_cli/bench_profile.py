"""`orl bench --profile`"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orl.host_memory import usable_cores
from orl_cli.common import stamp
from orl_cli.console import out, print_json, print_table

if TYPE_CHECKING:
    from orl_bench.harness import Benchmark
    from orl_bench.operations import Line
    from orl_bench.profile import Profile


def run_profile(
    benchmarks: Sequence[Benchmark],
    quick: bool,
    device: str,
    began: float,
    *,
    file: Path | None,
    json: bool,
    progress: Callable[[str], None],
) -> None:
    """Profile the benchmarks; the document to a file, and it or tables to stdout."""
    from orl.runs.directory import write_json
    from orl_bench.profile import profile

    profiles = profile(benchmarks, quick, progress)
    document = measured_here(began, device, quick) | {"profiles": [each.as_dict() for each in profiles]}
    if file:
        write_json(file, document)
    if json:
        print_json(document)
    else:
        for each in profiles:
            _show(each)


def measured_here(began: float, device: str, quick: bool) -> dict[str, Any]:
    """What a document of benchmarks or profiles starts with: when, and on what machine."""
    machine = {"device": device, "machine": platform.machine(), "cores": usable_cores(), "quick": quick}
    return stamp(began) | machine


def _show(profile: Profile) -> None:
    out(f"{profile.name}: {profile.workload}")
    call, operations = 1e3 * profile.call_seconds, 1e3 * profile.operation_seconds
    out(f"a call {call:.4g} ms; its operations, products alone, {operations:.4g} ms")
    out(f"square product on this machine: {profile.machine_gflops:.0f} GFLOP/s")
    if profile.product_gflops is not None:
        share = _percent(profile.product_share_of_machine)
        out(f"products alone: {profile.product_gflops:.0f} GFLOP/s, {share} of that")
    out(f"time outside products: {_percent(profile.share_outside_products)}")
    out(", ".join(f"{kind} {_percent(share)}" for kind, share in profile.kinds.items() if share) + "\n")
    print_table(_table(profile.longest))
    out("")


def _table(lines: Sequence[Line]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("place", overflow="fold")
    table.add_column("product, or kind", no_wrap=True)
    for column in ("time", "times", "ms each", "GFLOP/s", "machine"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        what = "\n".join(line.products) or line.kind
        each = f"{1e3 * line.seconds / line.executions:.3g}"
        rate = "" if line.gflops is None else f"{line.gflops:.3g}"
        machine = "" if line.share_of_machine is None else _percent(line.share_of_machine)
        table.add_row(line.place, what, _percent(line.share), str(line.executions), each, rate, machine)
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"
