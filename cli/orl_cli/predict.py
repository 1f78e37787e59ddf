"""`orl predict`"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import DEFAULT_ROOT, Debug, Deterministic, Device, Json, Quiet, Root, guarded, set_up_machine
from orl_cli.console import print_json, print_table, reporter_for


class Actions(StrEnum):
    """Whose actions a model is told to play."""

    logged = "logged"
    sampled = "sampled"


@guarded
def predict(
    run: Annotated[list[Path], typer.Argument(help="Run folders of fitted models.", show_default=False)],
    steps: Annotated[int, typer.Option(min=1, help="Steps ahead.")] = 200,
    starts: Annotated[int, typer.Option(min=1, help="Held-out states to begin from.")] = 16,
    draws: Annotated[int, typer.Option(min=1, help="Predictions drawn from each.")] = 4,
    actions: Annotated[
        Actions, typer.Option(help="Play the logged actions, or what a transformer draws.")
    ] = Actions.logged,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results; RUN/predict by default.")
    ] = None,
    runs: Root = DEFAULT_ROOT,
    device: Device = "auto",
    deterministic: Deterministic = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Roll models open loop from held-out states: how far ahead can they be believed?

    Draws predicted against real observations and the error by steps ahead, beside the error of predicting no change.
    One run is joined by the newest model of the other kind on the same data.

    Example:  orl predict runs/orl-pendulum-mixed-v0/transformer-0a1b2c3d --steps 100
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.runs.predict import predict as roll

    document = roll(
        run, steps=steps, starts=starts, draws=draws, actions=actions.value, seed=seed, root=runs, out=out,
        reporter=reporter_for(quiet),
    )  # fmt: skip
    return print_json(document) if json else print_table(_table(document))


def _table(document: dict[str, Any]) -> Any:
    """Errors at a few horizons."""
    from rich.table import Table

    horizons = [each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if each < document["steps"]]
    horizons.append(document["steps"])
    title = f"{document['dataset']}: error / training spread by steps ahead, {document['actions']} actions"
    table = Table(title=title, title_justify="left")
    table.add_column("model", no_wrap=True)
    for each in horizons:
        table.add_column(str(each), justify="right")
    table.add_column("useless", justify="right", no_wrap=True)
    for name, values in [*document["error"].items(), ("no change", document["persistence"])]:
        shown = ["–" if values[each - 1] is None else f"{values[each - 1]:.3f}" for each in horizons]
        even = document["break_even"].get(name)
        table.add_row(name, *shown, "" if name == "no change" else "never" if even is None else f"from {even}")
    notes = ["useless: from that step on, predicting no change is no worse", *document["files"]]
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table
