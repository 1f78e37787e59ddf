"""The document of a report: everything that the page shows, as plain values."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orl.config import toml
from orl.runs.directory import SCHEMA, flat_settings, versions
from orl.runs.report.command import command_of
from orl.runs.report.log import ReadLog, read_log
from orl.runs.report.methods import grouped, labels, method, yardsticks
from orl.runs.report.quality import models_of
from orl.runs.report.sources import Source, open_sources
from orl.runs.reporter import Reporter


def gather(paths: Sequence[Path], reporter: Reporter | None = None, *, read: ReadLog = read_log) -> dict[str, Any]:
    """Everything that is known of the runs at `paths` (run folders, or folders that hold them), by dataset.

    Args:
        read: what looks into the data behind a run, the part that takes time.

    Returns:
        `datasets`, a list: sizes (`data`), what `read` found (`log`), `methods` (runs that differ in seeds only are
        one), `yardsticks` and `models`. `runs`: status, settings, versions and command of each.

    Raises:
        DataError: no runs there, or a document in one is damaged.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    sources = open_sources(list(paths))
    by_data: dict[str, list[Source]] = {}
    for source in sources:
        by_data.setdefault(str(source.run.record.get("fingerprint")), []).append(source)
    datasets = [_dataset(each, read(each[0], reporter)) for each in by_data.values()]
    return {
        "schema": SCHEMA,
        "kind": "report",
        "run": [str(source.path) for source in sources],
        "title": _title(datasets),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "unfinished": [str(source.path) for source in sources if not source.run.finished],
        "datasets": datasets,
        "runs": [_run(source) for source in sources],
        "versions": versions(),
        "seconds": time.perf_counter() - began,
    }


def _title(datasets: Sequence[dict[str, Any]]) -> str:
    return ", ".join(each["data"]["name"] for each in datasets)


def _dataset(sources: Sequence[Source], log: dict[str, Any]) -> dict[str, Any]:
    groups = grouped(sources)
    return {
        "fingerprint": sources[0].run.record.get("fingerprint"),
        "data": _sizes(sources[0]),
        "log": log,
        "yardsticks": yardsticks(sources),
        "methods": [method(label, group) for label, group in zip(labels(groups), groups, strict=True)],
        "models": models_of(sources),
    }


def _sizes(source: Source) -> dict[str, Any]:
    data = source.run.record["dataset"]
    keys = ("name", "steps", "episodes", "obs_dim", "action_dim", "env_id", "mean_return", "best_return")
    return {key: data.get(key) for key in keys}


def _run(source: Source) -> dict[str, Any]:
    record = source.run.record
    return {
        "run": str(source.path),
        "name": source.name,
        "kind": record["kind"],
        "status": record["status"],
        "dataset": record["dataset"]["name"],
        "seeds": record.get("seeds", []),
        "presets": record.get("presets") or [],
        "device": str(record.get("device", "unknown")),
        "seconds": source.train_seconds,
        "rollback": record.get("rollback"),
        "value_warning": record.get("value_warning"),
        "settings": flat_settings(source.settings),
        "config": toml(source.settings),
        "versions": record.get("versions") or {},
        "command": command_of(source),
    }
