"""`orl select`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import (
    DEFAULT_ROOT,
    ConfigFile,
    Debug,
    Deterministic,
    Device,
    Json,
    Quiet,
    Root,
    Set,
    guarded,
    set_up_machine,
)
from orl_cli.console import out as say
from orl_cli.console import print_json, print_table, reporter_for
from orl_cli.ope import Again, Discount, Folds, JudgeSeed, Members, Runs, Updates, number, ope_settings


@guarded
def select(
    run: Runs,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder in which selection.json is written; nowhere by default.")
    ] = None,
    discount: Discount = None,
    fqe_updates: Updates = None,
    members: Members = None,
    folds: Folds = None,
    judge_seed: JudgeSeed = None,
    runs: Root = DEFAULT_ROOT,
    config: ConfigFile = None,
    set_: Set = None,
    force: Again = False,
    device: Device = "auto",
    deterministic: Deterministic = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Name the policy that is surely better than the behaviour, by the log alone, or say that none is.

    Every seed of every run is a candidate, bc and the behaviour itself always are; bc is trained if it is not there.
    Ends with 0 either way.

    Example:  orl select runs/orl-pendulum-mixed-v0/mopo-s0-2 runs/orl-pendulum-mixed-v0/combo-s0-2
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.runs.select import select as choose

    document = choose(
        run, settings=ope_settings(config, set_, discount, fqe_updates, members, folds, judge_seed),
        root=runs, out=out, force=force, reporter=reporter_for(quiet),
    )  # fmt: skip
    if json:
        return print_json(document)
    print_table(ranking_table(document))
    return say(answer(document))


def ranking_table(document: dict[str, Any]) -> Any:
    """Candidates by their score, the behaviour among them."""
    from rich.table import Table

    from orl.evaluation.ope.methods import LABELS

    title = f"{document['dataset']} · discount {document['discount']:g}"
    table = Table(title=title, title_justify="left")
    table.add_column("candidate", overflow="fold")
    for column in ("score", "better by at least", "fitted Q"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("says", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for line in document["ranking"]:
        chosen = "→ " if line is _selected(document) else ""
        table.add_row(
            chosen + line["label"], number(line["score"]), number(line["improvement"]), number(line["value"]),
            LABELS.get(line["witness"], ""), line["verdict"] or "",
        )  # fmt: skip
    table.caption = (
        "better by at least: the greatest lower bound (95%) on the difference to the behaviour in the same episodes,"
        " and whose it is\n"
        "score: the mean of such bounds over the estimates that are heard; the order is by it"
    )
    table.caption_justify = "left"
    return table


def answer(document: dict[str, Any]) -> str:
    """The decision, and what to do with it."""
    from orl.runs.select import REFUTED

    chosen = document["selected"]
    note = "" if document["model_heard"] else f"\nnote: {REFUTED}"
    if chosen is None:
        return document["reason"] + note
    return f"{document['reason']}{note}\nselected: {chosen['run']}, seed {chosen['seed']}"


def _selected(document: dict[str, Any]) -> dict[str, Any] | None:
    chosen = document["selected"]
    if chosen is None:
        return None
    (line,) = [each for each in document["ranking"] if (each["run"], each["seed"]) == (chosen["run"], chosen["seed"])]
    return line
