"""`orl runs list|show|pack`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import DEFAULT_ROOT, Debug, Json, Root, guarded, stamp
from orl_cli.console import out, print_json, print_table

app = typer.Typer(help="Runs: what was fitted and trained, and how it went.", no_args_is_help=True)


@app.command("list")
@guarded
def list_(runs: Root = DEFAULT_ROOT, json: Json = False, debug: Debug = False) -> None:
    """List the runs below a folder."""
    began = time.perf_counter()
    from orl.runs.directory import find_runs

    found = list(find_runs(runs))
    if json:
        records = [{"run": str(run.path), **run.record} for run in found]
        return print_json(stamp(began, [record["run"] for record in records]) | {"runs": records})
    if not found:
        return out(f"no runs below {runs}; `orl train-policy` makes one")
    from rich.table import Table

    table = Table()
    for column, fixed in (("run", False), ("kind", False), ("status", True), ("result", True)):
        table.add_column(column, overflow="fold", no_wrap=fixed)
    for run in found:
        record = run.record
        table.add_row(str(run.path), record["kind"], record["status"], headline(record))
    return print_table(table)


@app.command()
@guarded
def show(run: Annotated[Path, typer.Argument(help="Run folder.")], json: Json = False, debug: Debug = False) -> None:
    """Show a run: its record, its settings and its last metrics."""
    from orl.config import toml
    from orl.runs.directory import config_tree, load_run

    opened = load_run(run)
    rows = opened.rows("metrics.jsonl")
    if json:
        record = {"run": str(run), "seconds": None, **opened.record}
        return print_json(record | {"last_metrics": rows[-1] if rows else None})
    import json as json_module

    out(json_module.dumps(opened.record, indent=2))
    out("\n# config.toml\n" + toml(config_tree(run)))
    if rows:
        out(f"# last of {len(rows)} metric rows\n{json_module.dumps(rows[-1])}")
    return None


@app.command()
@guarded
def pack(
    run: Annotated[Path, typer.Argument(help="Run folder of a policy.")],
    target: Annotated[Path, typer.Argument(help="Folder to make.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy what a policy needs to act, with its settings and record, into a folder small enough to keep or hand on.

    Example:  orl runs pack runs/plant-pump-v0/tune/candidates/bc pump-policy
    """
    began = time.perf_counter()
    from orl.host_memory import size
    from orl.runs.packing import pack as copy

    document = copy(run, target) | {"seconds": time.perf_counter() - began}
    if json:
        return print_json(document)
    return out(f'{target}: {size(document["bytes"])}; orl.load_policy("{target}") in Python')


def headline(record: dict[str, Any]) -> str:
    """The one number of a finished run that matters most."""
    result = record.get("result") or {}
    holdout, score = result.get("holdout") or {}, result.get("score")
    entropy, persistence = (holdout.get("cross_entropy") or {}).get("obs"), holdout.get("rmse_over_persistence")
    if entropy is not None:
        return f"nats/obs {entropy:.3f}"
    if persistence is not None:
        return f"rmse/pers. {persistence:.3f}"
    if score:
        return f"{'score' if score['normalised'] else 'return'} {score['mean']:.1f}"
    return "–"
