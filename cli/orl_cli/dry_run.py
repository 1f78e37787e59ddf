"""`--dry-run`: the resolved settings, and what the run would take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orl_cli.common import stamp
from orl_cli.console import error_line, print_json, print_table

if TYPE_CHECKING:
    from orl.runs.memory_plan import MemoryPlan
    from orl.runs.probe import Estimate


def show_dry_run(
    config: Any,
    presets: list[Any],
    path: Path,
    json: bool,
    needs: Callable[[], MemoryPlan],
    probe: Callable[[], Estimate] | None = None,
    notes: tuple[str, ...] = (),
) -> None:
    """The settings on stdout, as TOML that `--config` reads, and the plan on stderr; all in one document with `json`.

    `notes` say what the settings do not: what will still be decided.

    The settings come first, so that they are there even where `needs` or `probe` meet an error in the data.
    """
    from orl.config import as_tree, to_toml

    began, names = time.perf_counter(), [preset.path for preset in presets]
    if not json:
        error_line(f"presets: {', '.join(names) or 'none'}; the run would go to {path}")
        for note in notes:
            error_line(note)
        sys.stdout.write(to_toml(config))
        sys.stdout.flush()
    plan = needs()
    estimate = probe() if probe else None
    if json:
        document = plan.document() | {"estimate": estimate and estimate.document()}
        settings = {"presets": names, "config": as_tree(config), "notes": list(notes)}
        return print_json(stamp(began, str(path)) | settings | {"plan": document})
    return _show(plan, estimate)


def _show(plan: MemoryPlan, estimate: Estimate | None) -> None:
    from rich.table import Table

    from orl.host_memory import size

    table = Table(title=f"memory of {plan.work}", title_justify="left")
    for column in ("what", "a seed", "in all"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for line in plan.lines:
        table.add_row(line.name, size(line.bytes) if line.per_seed else "", size(plan.total(line)))
    print_table(table, sys.stderr)
    for each in plan.accounts():
        there = "an unknown amount" if each.available is None else size(each.available)
        verdict = "" if each.fits else ": DOES NOT FIT"
        error_line(f"{size(each.needed)} of memory needed, {each.name} has {there}{verdict}")
    if estimate:
        total = "until it no longer improves" if estimate.seconds is None else f"{duration(estimate.seconds)} in all"
        error_line(
            f"{estimate.steps_per_second:.3g} updates/s, {duration(estimate.epoch_seconds)} an epoch, {total}; "
            f"not counted: {', '.join(estimate.left_out)}"
        )


def duration(seconds: float) -> str:
    """'45 s', '12 min', '2 h 05 min': as precise as an estimate deserves."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
