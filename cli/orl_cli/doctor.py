"""`orl doctor`"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from orl.errors import MissingError
from orl_cli.common import Debug, Json, compilation_cache, guarded, stamp
from orl_cli.console import out, print_json, print_table

if TYPE_CHECKING:
    from orl.runs.doctor import Check

STYLES = {"ok": ("✓", "green"), "note": ("–", "yellow"), "fault": ("✗", "red")}


@guarded
def doctor(json: Json = False, debug: Debug = False) -> None:
    """Look at devices, packages, memory, cache, datasets and simulators: what is missing, and the command for it.

    Ends with 5 where something that is needed is missing or broken, else with 0; what is optional is only noted.
    """
    began = time.perf_counter()
    from orl.runs.doctor import State, examine

    checks = examine(compilation_cache())
    faults = [check for check in checks if check.state is State.fault]
    if json:
        print_json(stamp(began) | {"healthy": not faults, "checks": [check._asdict() for check in checks]})
    else:
        print_table(table_of(checks))
        out(verdict(checks))
    if faults:
        raise typer.Exit(MissingError.exit_code)


def table_of(checks: list[Check]) -> Any:
    """A line a check, a rule between the sections; what to do stands below what was found."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="orl doctor", title_justify="left", show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check, after in zip(checks, [*checks[1:], None], strict=True):
        sign, colour = STYLES[check.state]
        found = f"{check.found}\n→ {check.remedy}" if check.remedy else check.found
        ends = after is not None and after.section != check.section
        table.add_row(Text(sign, style=colour), check.name, found, end_section=ends)
    return table


def verdict(checks: list[Check]) -> str:
    """'all that is needed is here and works; 3 notes on what is optional'."""
    states = [check.state for check in checks]
    faults, notes = states.count("fault"), states.count("note")  # type: ignore[arg-type]
    optional = f"{notes} note{'s' * (notes != 1)} on what is optional" if notes else ""
    if not faults:
        return "all that is needed is here and works" + (f"; {optional}" if optional else "")
    counted = f"{faults} thing{'s' * (faults != 1)} that {'are' if faults != 1 else 'is'} needed missing or broken"
    return counted + (f"; {optional}" if optional else "")
