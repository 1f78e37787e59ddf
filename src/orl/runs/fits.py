"""What the fits of every kind of model share: where they go, how they are found again, and their document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orl.config import as_tree, completed
from orl.data.episodes import Dataset
from orl.errors import DataError
from orl.runs.directory import RunDirectory, config_tree, find_runs, load_run, slug, versions
from orl.runs.record import config_digest

MODEL_KINDS = ("transformer", "ensemble")


def fit_path(kind: str, root: Path, dataset: Dataset, config: Any) -> Path:
    """Where the fit of these settings on this data goes unless told otherwise."""
    return root / slug(config.dataset) / f"{kind}-{config_digest(config, dataset.fingerprint)}"


def find_fit(kind: str, root: Path, dataset: Dataset, config: Any) -> Path | None:
    """The folder of a finished fit of exactly these settings on exactly this data below `root`, if there is one."""
    wanted = as_tree(config) | {"dataset": ""}
    for run in find_runs(root):
        same_data = run.record.get("fingerprint") == dataset.fingerprint
        if run.record["kind"] != kind or not run.finished or not same_data:
            continue
        if completed(config_tree(run.path), config) | {"dataset": ""} == wanted:
            return run.path
    return None


def finished_fit(path: Path) -> RunDirectory:
    """The run of a fitted model of any kind; a DataError for anything else, and for a fit that is not finished."""
    run = load_run(path)
    if run.record["kind"] not in MODEL_KINDS:
        raise DataError(f"{path} holds a {run.record['kind']}, not a fitted model")
    if not run.finished:
        raise DataError(f"{path} is not finished; run its fit-model command again to complete it")
    return run


def fit_document(run: RunDirectory, **more: Any) -> dict[str, Any]:
    """The JSON document of a finished fit."""
    record = run.record
    return {
        "schema": record["schema"],
        "run": str(run.path),
        "kind": record["kind"],
        "dataset": record["dataset"],
        "presets": record["presets"],
        "rollback": record.get("rollback"),
        "seconds": record["seconds"],
        "versions": versions(),
        **more,
        **record["result"],
    }
