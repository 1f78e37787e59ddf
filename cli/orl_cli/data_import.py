"""`orl data import`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orl.errors import UsageError
from orl_cli.common import Debug, Json, Quiet, guarded, stamp
from orl_cli.console import error_line, print_json, print_table, reporter_for, words

Names = list[str] | None


def _names(flag: str, text: str) -> Any:
    return typer.Option(flag, help=text, show_default=False)


@guarded
def import_(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="CSV, Parquet, JSON lines (each also .gz, .bz2), NPZ or HDF5, all with the same columns.",
            show_default=False,
        ),
    ] = None,
    id: Annotated[str | None, _names("--id", "Id of the new dataset, such as plant/pump-v0.")] = None,
    obs: Annotated[Names, _names("--obs", "Observation columns: names, globs ('s_*'), commas; repeatable.")] = None,
    action: Annotated[Names, _names("--action", "Action columns, the same way.")] = None,
    reward: Annotated[str | None, _names("--reward", "Reward column.")] = None,
    next_obs: Annotated[Names, _names("--next-obs", "Next observations; else those of the following row.")] = None,
    episode: Annotated[Names, _names("--episode", "Columns that name the episode; @file is the file.")] = None,
    order: Annotated[str | None, _names("--order", "Column of steps or dates that orders an episode.")] = None,
    terminated: Annotated[str | None, _names("--terminated", "Column that flags true ends.")] = None,
    truncated: Annotated[str | None, _names("--truncated", "Column that flags cuts and time-outs.")] = None,
    time_limit: Annotated[int | None, _names("--time-limit", "Steps at which --terminated means a time-out.")] = None,
    allow_gaps: Annotated[
        bool | None, typer.Option("--allow-gaps/--no-gaps", help="Split episodes where rows are missing.")
    ] = None,
    action_low: Annotated[str | None, _names("--action-low", "Lower bounds: one number, or one an action.")] = None,
    action_high: Annotated[str | None, _names("--action-high", "Upper bounds.")] = None,
    reference_min: Annotated[float | None, _names("--reference-min", "Return that scores 0.")] = None,
    reference_max: Annotated[float | None, _names("--reference-max", "Return that scores 100.")] = None,
    env_id: Annotated[str | None, _names("--env-id", "Gymnasium id of the environment to evaluate in.")] = None,
    mapping: Annotated[Path | None, _names("--mapping", "TOML file with all of this; flags win over it.")] = None,
    save_mapping: Annotated[Path | None, _names("--save-mapping", "Write that file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset that has the id.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a dataset of your own log."""
    began = time.perf_counter()
    from orl.data.importing.mapping import read_mapping
    from orl.data.importing.mapping import save_mapping as save
    from orl.data.importing.run import import_dataset

    flags = {
        "files": [str(file) for file in files] if files else None,
        "id": id,
        "obs": obs or None,
        "action": action or None,
        "reward": reward,
        "next_obs": next_obs or None,
        "episode": episode or None,
        "order": order,
        "terminated": terminated,
        "truncated": truncated,
        "time_limit": time_limit,
        "allow_gaps": allow_gaps,
        "action_low": _numbers("--action-low", action_low),
        "action_high": _numbers("--action-high", action_high),
        "reference_min": reference_min,
        "reference_max": reference_max,
        "env_id": env_id,
    }
    wanted = read_mapping(mapping, flags)
    if save_mapping and not save_mapping.parent.is_dir():
        raise UsageError(f"--save-mapping {save_mapping}: there is no folder {save_mapping.parent}")
    found = import_dataset(wanted, force, dry_run, reporter_for(quiet).message)
    if save_mapping and not dry_run:
        save(wanted, save_mapping)
    if json:
        return print_json(stamp(began) | found)
    _show(found)
    if dry_run:
        error_line("dry run: nothing was written")
    return None


def _numbers(flag: str, text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{flag} {text}: expected numbers between commas") from None


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]} ({len(names)})"


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=found["id"], title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    rows: dict[str, Any] = {"files": [f"{file['name']} ({file['rows']:,} rows)" for file in found["files"]]}
    rows |= {role: _few(names) for role, names in found["columns"].items()}
    rows |= {key: found[key] for key in ("rows", "steps", "episodes", "returns", "lengths", "terminals", "timeouts")}
    rows |= {key: found[key] for key in ("dropped_rows", "action_low", "action_high", "folder")}
    for key, value in rows.items():
        table.add_row(key.replace("_", " "), words(value))
    table.add_row("assumed", "\n".join(found["assumed"]) or "nothing")
    if found["folder"]:
        table.add_row("next", f"orl train-policy -d {found['id']}")
    print_table(table)
