"""`orl data check`"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from orl_cli.common import Debug, Json, Quiet, guarded, stamp
from orl_cli.console import out, print_json, print_table, reporter_for

Name = Annotated[str, typer.Argument(help="Dataset id or file path.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with 3 for warnings as well.")]

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@guarded
def check(name: Name, json: Json = False, strict: Strict = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Look for everything in a dataset that would falsify or limit what is learned from it.

    Ends with 3 if there are errors (with --strict, warnings too), else with 0.
    """
    began = time.perf_counter()
    from orl.data.audit.audit import audit
    from orl.data.catalog import load
    from orl.errors import DataError

    found = audit(load(name, reporter_for(quiet).message, checked=False))
    counts = found.counts
    if json:
        findings = [finding._asdict() for finding in found.findings]
        print_json(stamp(began) | {"dataset": found.overview, "counts": counts, "findings": findings})
    else:
        show(found.overview, found.findings, counts)
    if counts["error"] or (strict and counts["warning"]):
        raise typer.Exit(DataError.exit_code)


def show(overview: dict[str, Any], findings: list[Any], counts: dict[str, int]) -> None:
    """The dataset in numbers, a line for each finding, and the verdict."""
    print_table(overview_table(overview))
    if findings:
        print_table(findings_table(findings))
    words = ", ".join(f"{count} {severity}{'s' * (count != 1)}" for severity, count in counts.items())
    out(words if findings else "nothing found")


def overview_table(overview: dict[str, Any]) -> Any:
    """Sizes, lengths, returns and actions."""
    from rich.table import Table

    table = Table(title=overview["name"], title_justify="left", show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    rows = f"{overview['rows']:,}, of which {overview['sampled_rows']:,} were sampled for regressions"
    table.add_row("rows", rows)
    table.add_row("columns", f"obs {overview['obs_dim']}, action {overview['action_dim']}")
    ends = f"{overview['terminated']} true ends, {overview['truncated']} time-outs or cuts"
    table.add_row("episodes", f"{overview['episodes']}: {ends}")
    table.add_row("length", quantile_words(overview["lengths"]))
    table.add_row("return", quantile_words(overview["returns"]))
    for column, action in enumerate(overview["actions"]):
        table.add_row(f"action {column}", action_words(action))
    table.caption, table.caption_justify = "length and return: least, 10%, median, 90%, greatest", "left"
    return table


def quantile_words(quantiles: dict[str, float | None]) -> str:
    """'12, 80, 200, 200, 200'."""
    return ", ".join("–" if value is None else f"{value:.5g}" for value in quantiles.values())


def action_words(action: dict[str, float | None]) -> str:
    """Bounds, coverage and how far the observation decides the action."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.3g}%"

    def bound(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    return (
        f"in [{bound(action['low'])}, {bound(action['high'])}]; at the bounds {percent(action['at_low'])} and "
        f"{percent(action['at_high'])}; 98% within {percent(action['width'])} of the range; the observation decides "
        f"{percent(action['r2_from_obs'])}, spread around it {percent(action['spread'])} of the range"
    )


def findings_table(findings: list[Any]) -> Any:
    """A row for each finding, gravest first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("what was found, and what to do", overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.severity]
        words = f"{finding.check}: {finding.message}\n→ {finding.advice}"
        table.add_row(Text(finding.severity, style=colour), finding.where, words)
    return table
