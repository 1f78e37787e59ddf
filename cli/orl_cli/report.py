"""`orl report`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orl_cli.common import Debug, Json, Quiet, guarded, set_up_machine
from orl_cli.console import out as say
from orl_cli.console import print_json, reporter_for


@guarded
def report(
    run: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold runs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow runs that are under way: write the page again as they get further.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="With --watch: seconds between two pages, at least.")] = 10,
    data: Annotated[
        bool, typer.Option("--data/--no-data", help="Read the datasets, for returns, lengths and coverage.")
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML page about runs: scores, curves, models, data, time, settings, commands.

    Examples:  orl report runs/orl-pendulum-mixed-v0 -o report.html   ·   orl report RUN --watch
    """
    set_up_machine("cpu")  # nothing here is worth a device
    from orl.runs.report.write import follow, write_report

    reporter = reporter_for(quiet)
    if watch:
        document = follow(run, out, data=data, every=every, reporter=reporter)
    else:
        document = write_report(run, out, data=data, reporter=reporter)
    if json:
        return print_json(document)
    runs = len(document["runs"])
    return say(f"{out}: {runs} run{'s' * (runs != 1)}, {document['bytes'] / 1e6:.1f} MB; open it in a browser")
