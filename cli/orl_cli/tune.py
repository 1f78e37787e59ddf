"""`orl tune`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import (
    DEFAULT_DATASET,
    DEFAULT_ROOT,
    Dataset,
    Debug,
    Deterministic,
    Device,
    Force,
    Json,
    Quiet,
    Root,
    guarded,
    set_up_machine,
    stamp,
)
from orl_cli.console import out as say
from orl_cli.console import print_json, print_table, reporter_for, words
from orl_cli.dry_run import duration

Candidates = Annotated[
    Path | None,
    typer.Option("--candidates", "-c", help="TOML file that declares the candidates.", show_default="the shipped set"),
]
Budget = Annotated[str, typer.Option("--budget", "-b", help="Time for everything, such as 45m, 2h or 90s.")]
History = Annotated[
    int | None,
    typer.Option(min=0, help="Earlier observations and actions to stack.", show_default="what the audit advises"),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder of the tune; by default named after the dataset.")
]
List = Annotated[bool, typer.Option("--list", help="Print the candidates and stop.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Measure, print the plan with its times, and stop.")]


@guarded
def tune(
    dataset: Dataset = None,
    budget: Budget = "45m",
    candidates: Candidates = None,
    history: History = None,
    out: Out = None,
    runs: Root = DEFAULT_ROOT,
    list_: List = False,
    device: Device = "auto",
    deterministic: Deterministic = False,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a small set of candidates on one shared model, judge them by the log alone, and name one or none.

    No simulator is used. The same command goes on where it was stopped, and prints the result again once it is done.

    Examples:  orl tune -d plant/pump-v0 --budget 2h   ·   orl tune --list   ·   orl tune -d log.npz --dry-run
    """
    set_up_machine(device, deterministic=deterministic)
    began, reporter = time.perf_counter(), reporter_for(quiet)
    from orl.runs.budget import parse_duration
    from orl.runs.candidate_file import default_set, read_candidates
    from orl.runs.candidates import with_shared_history

    chosen = read_candidates(candidates or default_set())
    if history is not None:
        chosen = with_shared_history(chosen, history)
    if list_:
        return _list(began, chosen, json)
    seconds = parse_duration(budget)
    from orl.data.catalog import load
    from orl.runs.tune import default_tune_path
    from orl.runs.tune import tune as run

    data = load(dataset or DEFAULT_DATASET, reporter.message)
    if dry_run:
        return _dry_run(began, data, chosen, seconds, reporter, json)
    folder = out or default_tune_path(runs, data.name)
    document = run(data, chosen, folder, seconds=seconds, force=force, reporter=reporter)
    return print_json(document) if json else _show(document)


def _list(began: float, candidates: Any, json: bool) -> None:
    from orl.config import as_tree, toml

    tree = as_tree(candidates)
    return print_json(stamp(began) | {"candidates": tree}) if json else say(toml(tree).rstrip())


def _dry_run(began: float, data: Any, candidates: Any, seconds: float, reporter: Any, json: bool) -> None:
    from orl.runs.tune_plan import measure, plan_document

    measured = measure(data, candidates, seconds, reporter, between=lambda: None)
    plan = plan_document(candidates, measured, seconds, time.perf_counter() - began)
    return print_json(stamp(began) | {"plan": plan}) if json else _show_plan(plan)


def _show_plan(plan: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"a budget of {duration(plan['budget_seconds'])}", title_justify="left")
    for column in ("what", "updates", "time"):
        table.add_column(column, justify="left" if column == "what" else "right", overflow="fold")
    table.add_row("measuring", "", duration(plan["spent_seconds"]))
    if plan["model"]:
        table.add_row(
            f"the ensemble, at most {plan['model']['max_epochs']} epochs", "", duration(plan["model"]["seconds"])
        )
    for row in plan["candidates"]:
        if row["updates"] is None:
            table.add_row(row["name"], "left out", "")
        else:
            table.add_row(row["name"], f"{row['updates']:,} of {row['wanted']:,}", duration(row["seconds"]))
    table.add_row("judgement, kept back", "", duration(plan["judgement_seconds"]))
    print_table(table)
    say(f"history {plan['history']['value']}: {plan['history']['why']}")


def _show(document: dict[str, Any]) -> None:
    selection = document["selection"]
    print_table(ranking_table(document))
    for row in document["candidates"]:
        if row["note"]:
            say(f"{row['name']}: {row['note']}")
    say(f"{document['seconds'] / 60:.0f} of {document['budget_seconds'] / 60:.0f} minutes; {selection['reason']}")
    chosen = selection["selected"]
    if chosen is None:
        return say(f"keep the behaviour policy; everything is in {document['run']}")
    say(f"selected: {chosen['label']}, {chosen['run']}")
    return say(f'next: orl export {chosen["run"]}, or orl.load_policy("{chosen["run"]}") in Python')


def ranking_table(document: dict[str, Any]) -> Any:
    """Candidates by their score, the behaviour among them."""
    from rich.table import Table

    history, discount = document["history"], document["selection"]["discount"]
    title = f"{document['dataset']['name']} · history {history} · discount {discount:g}"
    table = Table(title=title, title_justify="left")
    table.add_column("candidate", overflow="fold")
    for column in ("updates", "score", "better by", "fitted Q, 95%"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for line in document["selection"]["ranking"]:
        updates = "" if line["updates"] is None else f"{line['updates']:,}"
        interval = f"{words(line['value'])} ({words(line['low'])}, {words(line['high'])})"
        score, better = words(line["score"]), words(line["improvement"])
        table.add_row(line["label"], updates, score, better, interval, line["verdict"] or "")
    table.caption = "better by: lower bound (95%) on the difference to the behaviour; the order is by the score"
    table.caption_justify = "left"
    return table
