"""This run against an earlier one: has any benchmark's figure fallen?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from orl.errors import DataError, UsageError
from orl.runs.directory import read_json
from orl_bench.harness import Result

SCHEMA = 1
Verdict = Literal["kept", "fell", "new", "missing", "other workload"]


@dataclass(frozen=True)
class Earlier:
    """What an earlier run's document says: where it ran, and its figures and workloads by name."""

    path: Path
    device: str
    cores: int
    quick: bool
    figures: Mapping[str, tuple[float, str]]


@dataclass(frozen=True)
class Comparison:
    """One benchmark in both runs. before, now: parts of the yardstick's rate; margin: by how much it may fall."""

    name: str
    before: float | None
    now: float | None
    margin: float | None
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def read_earlier(path: Path) -> Earlier:
    """The document of an earlier `orl bench --json` or `--out`.

    Raises:
        DataError: not there, not JSON, or not such a document.
    """
    document = read_json(path)
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}")
        figures = {
            str(line["name"]): (_positive(line["relative"]), str(line["workload"])) for line in document["results"]
        }
        device, cores, quick = str(document["device"]), int(document["cores"]), bool(document["quick"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a document of `orl bench --out` ({type(error).__name__}: {error})") from None
    return Earlier(path, device, cores, quick, figures)


def check_comparable(earlier: Earlier, device: str, quick: bool) -> None:
    """UsageError where shares do not compare: other devices, or a quick run and a full one."""
    if earlier.device != device:
        raise UsageError(
            f"--compare {earlier.path}: measured on {earlier.device}, this is {device}; shares of unlike chips do not "
            "compare; record a file on this device with --out"
        )
    if earlier.quick != quick:
        sizes = ("quick", "full") if earlier.quick else ("full", "quick")
        raise UsageError(f"--compare {earlier.path}: it holds a {sizes[0]} run, this is a {sizes[1]} one")


def compare(
    earlier: Earlier, results: Sequence[Result], *, whole: bool = True, margin: float | None = None
) -> list[Comparison]:
    """Every result beside its earlier figure, then what only the earlier run has.

    Args:
        whole: whether all benchmarks were to be run; if not, earlier ones without a result are not missing.
        margin: for all benchmarks, in place of each one's own.
    """
    lines = [_line(result, earlier.figures.get(result.name), margin) for result in results]
    found = {result.name for result in results}
    gone = [name for name in earlier.figures if whole and name not in found]
    return lines + [Comparison(name, earlier.figures[name][0], None, None, "missing") for name in gone]


def fell(before: float, now: float, margin: float) -> bool:
    """Whether `now` is below `before` by more than `margin` of it."""
    return now < before * (1.0 - margin)


def failure(line: Comparison, against: str) -> str:
    """What to say of a benchmark whose figure fell."""
    before, now, margin = line.before or 0.0, line.now or 0.0, line.margin or 0.0
    lost = 1 - now / before
    return f"{line.name} fell from {before:.3g} to {now:.3g} of {against}, by {lost:.0%}; {margin:.0%} is allowed"


def better_of(first: Sequence[Result], second: Sequence[Result]) -> list[Result]:
    """`first` with the results of `second` in place of their namesakes where they are better."""
    again = {result.name: result for result in second}
    pairs = [(result, again.get(result.name, result)) for result in first]
    return [max(pair, key=lambda result: result.relative) for pair in pairs]


def _line(result: Result, before: tuple[float, str] | None, margin: float | None) -> Comparison:
    allowed = result.margin if margin is None else margin
    if before is None:
        return Comparison(result.name, None, result.relative, allowed, "new")
    figure, workload = before
    if workload != result.workload:
        return Comparison(result.name, figure, result.relative, allowed, "other workload")
    verdict: Verdict = "fell" if fell(figure, result.relative, allowed) else "kept"
    return Comparison(result.name, figure, result.relative, allowed, verdict)


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"relative is {value!r}, not a positive number")
    return float(value)
