"""`orl data list|show|check|make|download|import`"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from orl_cli.common import DEFAULT_DATASET, Debug, Json, Quiet, guarded, stamp
from orl_cli.console import out, print_json, print_table, reporter_for, words
from orl_cli.data_check import check
from orl_cli.data_import import import_

app = typer.Typer(help="Datasets: what there is, what is in it, and how to get more.", no_args_is_help=True)
app.command("import")(import_)
Name = Annotated[str, typer.Argument(help="Dataset id or file path.")]


@app.command("list")
@guarded
def list_(json: Json = False, debug: Debug = False) -> None:
    """List the embedded datasets and the local Minari ones."""
    began = time.perf_counter()
    from orl.data.catalog import list_datasets

    found = list_datasets()
    if json:
        return print_json(stamp(began) | {"datasets": [info._asdict() for info in found]})
    from rich.table import Table

    table = Table()
    table.add_column("dataset", no_wrap=True)
    for column in ("environment", "where"):
        table.add_column(column, overflow="fold")
    for column in ("steps", "episodes"):
        table.add_column(column, justify="right")
    for info in found:
        table.add_row(info.id, info.env or "–", info.where, f"{info.steps:,}", f"{info.episodes:,}")
    return print_table(table)


@app.command()
@guarded
def show(name: Name = DEFAULT_DATASET, json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Load a dataset, check it, and describe it."""
    began = time.perf_counter()
    from orl.data.catalog import load, summary

    found = summary(load(name, reporter_for(quiet).message))
    if json:
        return print_json(stamp(began) | found)
    from rich.table import Table

    table = Table(title=name, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    for key, value in found.items():
        table.add_row(key.replace("_", " "), words(value))
    return print_table(table)


app.command()(check)


@app.command()
@guarded
def make(name: Name = DEFAULT_DATASET, quiet: Quiet = False, debug: Debug = False) -> None:
    """Record an embedded dataset now (it is otherwise recorded when first used)."""
    from orl.data import pendulum
    from orl.errors import DataError

    if name not in pendulum.RECIPES:
        raise DataError(f"{name} is not an embedded dataset; those are {', '.join(sorted(pendulum.RECIPES))}")
    out(str(pendulum.ensure(name, reporter_for(quiet).message)))


@app.command()
@guarded
def download(name: Name, quiet: Quiet = False, debug: Debug = False) -> None:
    """Fetch a Minari dataset from its hub, where the hub can be reached."""
    from orl.data.catalog import download as fetch

    out(str(fetch(name, reporter_for(quiet).message)))
