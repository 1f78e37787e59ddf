"""`orl diagnose`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orl_cli.common import Debug, Deterministic, Device, Json, Quiet, guarded, set_up_machine
from orl_cli.console import out as say
from orl_cli.console import print_json, print_table, reporter_for


@guarded
def diagnose(
    run: Annotated[Path, typer.Argument(help="Run folder of a fitted model, or of a policy.", show_default=False)],
    model: Annotated[
        Path | None, typer.Option("--model", help="Ensemble to judge a policy by, in place of its own copy.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="How far ahead errors are followed.")] = 100,
    share: Annotated[float, typer.Option(help="Share of held-out rows that a calibrated u covers.")] = 0.95,
    discount: Annotated[
        float | None, typer.Option(help="Of values, where the run has none.", show_default="0.99")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of a policy's seeds only this one.", show_default="all")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results; RUN/diagnose by default.")
    ] = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """How far can a model be believed, and how much of a policy's promise does that cover?

    Held-out episodes say: the error by steps ahead beside a linear model's, whether predicted spreads are right,
    whether uncertainties cover the errors, and whether a classifier can tell the model from the data. Of a policy also
    what MOPO's theorems guarantee, and how often its rollouts leave the data.

    Example:  orl diagnose runs/orl-pendulum-mixed-v0/mopo-s0
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.runs.diagnose import diagnose as judge
    from orl_cli.diagnose_tables import sentences, tables

    document = judge(
        run, model=model, steps=steps, share=share, discount=discount, seed=seed, out=out, reporter=reporter_for(quiet)
    )
    if json:
        return print_json(document)
    for table in tables(document):
        print_table(table)
    for line in (*sentences(document), *document["files"]):
        say(line)
