"""`orl bench`"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orl_cli.bench_profile import measured_here, run_profile
from orl_cli.common import Debug, Device, Json, Quiet, guarded, set_up_machine
from orl_cli.console import error_line, out, print_json, print_table, reporter_for

if TYPE_CHECKING:
    from orl_bench.compare import Comparison
    from orl_bench.harness import Result

Only = Annotated[list[str] | None, typer.Option("--only", help="A group, or how names begin; repeatable.")]


@guarded
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small workloads, two minutes on two cores.")] = False,
    only: Only = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Fail where a figure fell below that of this earlier document.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", min=0, max=1, help="Share by which figures may fall, instead of each one's own."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", "-o", help="File to write the JSON document to.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the time of one call goes, instead of timing (CPU only).")
    ] = False,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure speed, and hold it against what this machine can do.

    With --compare the exit code is 1 if a figure fell by more than its margin, also when measured again.
    With --profile: one call's time by kind of operation and place. Products count as long as each takes by itself,
    with the rate it reaches; the times of others are sums over the threads' own operations.

    Examples:  orl bench --quick   ·   orl bench --only updates --compare earlier.json   ·   orl bench --profile
    """
    began = time.perf_counter()
    from orl.errors import UsageError

    if margin is not None and compare is None:
        raise UsageError("--margin says how far a figure may fall below an earlier one; it needs --compare")
    if profile and compare is not None:
        raise UsageError("--profile takes no figure, so there is nothing for --compare to hold against an earlier one")
    if file is not None and not file.parent.is_dir():
        raise UsageError(f"--out {file}: there is no folder {file.parent}")
    set_up_machine(device)
    import jax

    jax.config.update("jax_enable_compilation_cache", False)  # what is stated as compilation must be one
    from orl.runs.directory import write_json
    from orl_bench.compare import check_comparable, read_earlier
    from orl_bench.suite import run, select

    kind, reporter = jax.devices()[0].device_kind, reporter_for(quiet)
    chosen = select(only or [], quick)
    if profile:
        return run_profile(chosen, quick, kind, began, file=file, json=json, progress=reporter.message)
    earlier = read_earlier(compare) if compare else None
    if earlier:
        check_comparable(earlier, kind, quick)
    results = run(chosen, quick, reporter.message)
    lines: list[Comparison] = []
    if earlier:
        results, lines = _hold_against(earlier, results, whole=not only, quick=quick, margin=margin, reporter=reporter)
    document = measured_here(began, kind, quick) | {
        "matmul_gflops": _matmul_rate(results),
        "results": [result.as_dict() for result in results],
    }
    cores = document["cores"]
    judged = earlier is not None and earlier.cores == cores
    if earlier:
        document["comparison"] = {
            "file": str(compare),
            "judged": judged,
            "lines": [line.as_dict() for line in lines],
        }
    if file:
        write_json(file, document)
    if json:
        print_json(document)
    else:
        _show(results, lines, document["matmul_gflops"], kind, cores)
    if earlier and not judged:
        error_line(f"note: {compare} was measured on {earlier.cores} cores, this is {cores}: shown, not judged")
    elif _report(results, lines):
        raise typer.Exit(1)
    return None


def _hold_against(
    earlier: Any, results: list[Result], *, whole: bool, quick: bool, margin: float | None, reporter: Any
) -> tuple[list[Result], list[Comparison]]:
    """The comparison; what fell is measured once more, for a shared machine has bad moments, and the better counts."""
    from orl_bench.compare import better_of, compare
    from orl_bench.suite import BENCHMARKS, run

    lines = compare(earlier, results, whole=whole, margin=margin)
    fallen = {line.name for line in lines if line.verdict == "fell"}
    if fallen:
        reporter.message(f"fell, so measured again: {', '.join(sorted(fallen))}")
        again = run([each for each in BENCHMARKS if each.name in fallen], quick, reporter.message)
        results = better_of(results, again)
        lines = compare(earlier, results, whole=whole, margin=margin)
    return results, lines


def _report(results: Sequence[Result], lines: Sequence[Comparison]) -> bool:
    """A line on stderr for each benchmark that fell and for each that could not be compared; whether any fell."""
    from orl_bench.compare import failure

    against = {result.name: result.against for result in results}
    for line in lines:
        if line.verdict == "fell":
            error_line(failure(line, against[line.name]))
        elif line.verdict != "kept":
            error_line(f"note: {line.name} is not compared: {line.verdict}")
    return any(line.verdict == "fell" for line in lines)


def _matmul_rate(results: Sequence[Result]) -> float:
    """GFLOP/s of the machine's matrix product: the median of all readings beside the results, or one reading."""
    import statistics

    from orl_bench.yardsticks import MATMUL, matmul_gflops

    rates = [result.machine_rate for result in results if result.against == MATMUL]
    return statistics.median(rates) if rates else matmul_gflops()


def _show(results: Sequence[Result], lines: Sequence[Comparison], matmul: float, kind: str, cores: int) -> None:
    from rich.table import Table

    before = {line.name: line for line in lines}
    title = f"float32 matrix product {matmul:.0f} GFLOP/s on {kind}, {cores} cores"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("benchmark", overflow="fold")
    for column in ("rate", "ms a call", "compile", "GFLOP", "of", *(["before"] if lines else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        table.add_row(result.name, *_cells(result, before.get(result.name)))
    print_table(table)
    out("\n" + "\n".join(f"{result.name}: {result.workload}" for result in results))
    growth = _growth(results)
    if growth:
        print_table(_growth_table(growth))


def _cells(result: Result, line: Comparison | None) -> list[str]:
    compiled = "–" if result.compile_s is None else f"{result.compile_s:.1f} s"
    gflop = "–" if result.gflop is None else f"{result.gflop:.3g}"
    against = result.against.split()[0]
    cells = [
        f"{_short(result.rate)} {result.unit}/s",
        f"{_short(result.median_ms)} ±{_short(result.iqr_ms / 2)}",
        compiled,
        gflop,
        f"{result.relative:.3f} {against}",
    ]
    if line is not None:
        cells.append(("" if line.before is None else f"{line.before:.3f} ") + line.verdict)
    return cells


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _growth(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of the group "scaling" by what they measure."""
    families: dict[str, list[Result]] = {}
    for result in results:
        if result.group == "scaling":
            families.setdefault(result.name.rsplit("-", 1)[0], []).append(result)
    return families


def _growth_table(families: dict[str, list[Result]]) -> Any:
    from rich.table import Table

    table = Table(title="what a unit costs as the work grows", box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("benchmark", "rows", "seeds", "ms a unit", "over the first", "data MiB"):
        table.add_column(column, justify="left" if column == "benchmark" else "right", no_wrap=True)
    for members in families.values():
        for result in members:
            sizes = [f"{result.extra[key]:,.0f}" if key in result.extra else "–" for key in ("rows", "seeds")]
            cost, ratio = f"{1e3 / result.rate:.3g}", f"{members[0].rate / result.rate:.2f}"
            table.add_row(result.name, *sizes, cost, ratio, f"{result.extra['data_mib']:.1f}")
    return table
