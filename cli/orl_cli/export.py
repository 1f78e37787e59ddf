"""`orl export`"""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import Debug, Device, Json, Quiet, guarded, set_up_machine, stamp
from orl_cli.console import out as say
from orl_cli.console import print_json, print_table, reporter_for


class Format(StrEnum):
    """The forms a policy can leave in."""

    onnx = "onnx"
    stablehlo = "stablehlo"
    numpy = "numpy"


class Checkpoint(StrEnum):
    """Which of a run's policies."""

    last = "last"
    best = "best"


@guarded
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a trained policy.", show_default=False)],
    format: Annotated[Format, typer.Option("--format", "-f", help="What the file is for.")] = Format.onnx,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to make; RUN/export/FORMAT by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the run's seeds this one.", show_default="its first")] = None,
    checkpoint: Annotated[
        Checkpoint, typer.Option(help="The last policy, or the best by the simulator during training.")
    ] = Checkpoint.last,
    model: Annotated[
        Path | None, typer.Option("--model", help="Ensemble that makes the flag, in place of the run's own copy.")
    ] = None,
    quantile: Annotated[float, typer.Option(help="Share of held-out rows that is not to be flagged.")] = 0.99,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is already in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a policy as a file that runs without orl, with a model card; refused where it acts otherwise.

    Normaliser, history, scaling, clipping and an out-of-distribution flag are inside. The file answers the held-out
    observations of the run's data before it appears, and may differ by 1e-5 of the action's range.

    Example:  orl export runs/orl-pendulum-mixed-v0/mopo-s0 --format onnx
    """
    began = time.perf_counter()
    set_up_machine(device)
    from orl.runs.export.run import export as write
    from orl.runs.export.run import export_plan

    chosen: dict[str, Any] = {"format": format.value, "out": out, "seed": seed, "checkpoint": checkpoint.value}
    chosen |= {"model": model, "force": force}
    if dry_run:
        plan = export_plan(run, **chosen)
        return print_json(plan | stamp(began, str(run))) if json else _show_plan(plan)
    document = write(run, **chosen, quantile=quantile, reporter=reporter_for(quiet))
    return print_json(document) if json else _show(document)


def _show_plan(plan: dict[str, Any]) -> None:
    memory = f" and a memory of {plan['memory_dim']} numbers" if plan["history"] else ""
    say(f"{plan['algorithm']}, seed {plan['seed']}, {plan['checkpoint']} checkpoint: {plan['parameters']:,} numbers")
    say(f"from {plan['obs_dim']} numbers observed{memory} to {plan['action_dim']} acted on")
    flag = f"by the members of {plan['model']}" if plan["model"] else "none, the run has no model (--model names one)"
    say(f"out-of-distribution flag: {flag}")
    say(f"would write {', '.join(plan['contents'])} into {plan['folder']}")


def _show(document: dict[str, Any]) -> None:
    from rich.table import Table

    check, taken, flag = document["check"], document["latency_ms"], document["flag"]
    title = f"{document['algorithm']} as {document['format']}, against the policy in JAX"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("held-out observations", f"{check['rows']:,}")
    table.add_row("largest difference", f"{check['action']:.2g} of the action's range ({check['limit']:g} allowed)")
    table.add_row("one observation", f"{taken['p50']:.3g} ms (median), {taken['p99']:.3g} ms (99%)")
    if flag["missing"] is None:
        shares = f"{document['flagged']['held_out']:.2%} of held-out observations"
        table.add_row("out of distribution", f"uncertainty above {flag['threshold']:.4g}: {shares}")
    else:
        table.add_row("out of distribution", f"no flag: {flag['missing']}")
    for each in document["files"]:
        table.add_row(each["name"], f"{each['bytes']:,} bytes, SHA-256 {each['sha256'][:16]}…")
    print_table(table)
    say(f"{document['folder']}/model-card.md says how to use it")
