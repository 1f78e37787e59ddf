"""Behaviour cloning beside every score: find the bc run for a dataset, or train one."""

from __future__ import annotations

from pathlib import Path

from orl.data.catalog import load
from orl.runs.config import resolve_policy
from orl.runs.directory import RunDirectory, find_runs
from orl.runs.policy import KIND
from orl.runs.reporter import Reporter
from orl.runs.train_policy import default_policy_path, train_policy

YARDSTICK_STEPS = 20_000  # cloning has long converged by then; it is a yardstick, not a contender


def find_bc(root: Path, fingerprint: str, history: int = 0) -> Path | None:
    """A finished bc run below `root` on the data with this fingerprint, which sees as much of the past."""
    for run in find_runs(root):
        record = run.record
        is_bc = record.get("kind") == KIND and record.get("result", {}).get("algorithm") == "bc"
        same_data = record.get("fingerprint") == fingerprint
        if is_bc and run.finished and same_data and run.history == history:
            return run.path
    return None


def bc_for(run: RunDirectory, root: Path, reporter: Reporter) -> Path:
    """The bc run to hold `run` against: one that is there, else a new one at the dataset's preset."""
    return bc_on(run.record["fingerprint"], run.record["dataset"]["name"], root, reporter, run.history)


def bc_on(fingerprint: str, name: str, root: Path, reporter: Reporter, history: int = 0) -> Path:
    """A bc run on the dataset `name` with this history: one that is there, else a new one at the dataset's preset."""
    found = find_bc(root, fingerprint, history)
    if found is not None:
        return found
    config, presets = resolve_policy(name, "bc", {"history": history})
    steps = min(config.train.steps, YARDSTICK_STEPS)
    config, presets = resolve_policy(name, "bc", {"history": history, "train": {"steps": steps}})
    path = default_policy_path(root, config)
    reporter.message(f"no bc run on this data yet: training one into {path}")
    train_policy(load(name), config, path, root=root, presets=presets, reporter=reporter)
    return path
