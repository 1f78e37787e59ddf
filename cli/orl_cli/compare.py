"""`orl compare`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import Debug, Json, guarded, stamp
from orl_cli.console import out, print_json, print_table, words


@guarded
def compare(
    run: Annotated[list[Path], typer.Argument(help="Run folders, two or more.", show_default=False)],
    all_: Annotated[bool, typer.Option("--all", help="Show settings in which they agree as well.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Put the settings and results of runs side by side, with the probability that one is better than the other.

    That needs episodes in common: evaluate them in one call first.

    Example:  orl compare runs/orl-pendulum-mixed-v0/{mopo-s0,combo-s0}
    """
    began = time.perf_counter()
    from orl.runs.compare import compare as put_side_by_side

    document = put_side_by_side(run, every_setting=all_)
    if json:
        return print_json(stamp(began, [str(path) for path in run]) | document)
    names = short_names(run)
    settings, results = document["settings"], document["results"]
    shown = "settings" if all_ else "settings that differ"
    if settings:
        print_table(side_by_side_table(shown, names, settings))
    else:
        out("the settings are the same")
    print_table(side_by_side_table(results_title(document["evaluation"]), names, results))
    for line in improvement_lines(document, run, names):
        out(line)
    return None


def short_names(paths: list[Path]) -> list[str]:
    """The folders' names; with their parents' where two are the same."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def results_title(evaluation: dict[str, Any] | None) -> str:
    """What the numbers under `evaluation.` were measured in."""
    if evaluation is None:
        return "results"
    return f"results · evaluation: {evaluation['episodes']} episodes a seed in {evaluation['environment']}"


def side_by_side_table(title: str, names: list[str], rows: dict[str, list[Any]]) -> Any:
    """A line a name, a column a run."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, overflow="fold")
    for name, values in rows.items():
        table.add_row(name, *map(words, values))
    return table


def improvement_lines(document: dict[str, Any], paths: list[Path], names: list[str]) -> list[str]:
    """A sentence a pair, and what it is taken over; or what is missing for it."""
    if not document["improvement"]:
        told = f"`orl evaluate {' '.join(map(str, paths))}` plays the same episodes for all"
        return [f"no evaluation in common, so nothing to say of improvement: {told}"]
    by_path = dict(zip(map(str, paths), names, strict=True))
    lines = []
    for each in document["improvement"]:
        low, high = each["ci95"]
        later, earlier = by_path[each["run"]], by_path[each["over_run"]]
        percent = f"{100 * each['probability']:.0f}% (95% interval {100 * low:.0f} to {100 * high:.0f})"
        lines.append(f"{later} over {earlier}: {percent}, {conclusion(low, high)}; over {each['over']}")
    if any(each["over"] == "episodes" for each in document["improvement"]):
        lines.append("over episodes: of these trained policies; other training seeds may differ")
    return lines


def conclusion(low: float, high: float) -> str:
    """What an interval of the probability of improvement says against 1/2, a draw."""
    return "better" if low > 0.5 else "worse" if high < 0.5 else "no difference shown"
