"""`orl runs pack`: a copy of a policy small enough to keep with results or to hand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orl.errors import UsageError
from orl.runs.directory import SCHEMA, load_run, read_json, write_json
from orl.runs.model_supply import keep_run
from orl.runs.policy import KIND
from orl.runs.seals import newest, seal, steps

# what a policy was made with, and what was said of it; none of it is asked when it acts
LEFT_OUT = ("model", "init", "ope")


def pack(source: Path, target: Path) -> dict[str, Any]:
    """Copy what a policy needs to act, with its settings, record and metrics; returns the document of `orl runs pack`.

    The copy loads with `orl.load_policy`, and can be evaluated and judged. It cannot be trained on: the state of the
    training, its model and earlier checkpoints are not in it.

    Raises:
        DataError: not a policy's run folder, or without a checkpoint. UsageError: it is not finished, or there is
        something at `target`.
    """
    run = load_run(source, KIND)
    if not run.finished:
        raise UsageError(f"{source} is {run.record['status']}, not finished; its train-policy command goes on with it")
    if target.exists():
        raise UsageError(f"there is something at {target} already; choose another folder")
    last = newest(run.checkpoints, ("policy",))
    others = [str(each) for each in steps(run.checkpoints) if each != last]
    keep_run(source, target, *LEFT_OUT, *others, finish=_without_places)
    size = sum(each.stat().st_size for each in target.rglob("*") if each.is_file())
    return {"schema": SCHEMA, "run": str(target), "kind": "pack", "source": str(source), "bytes": size}


def _without_places(copy: Path) -> None:
    """Folders of the machine that trained it are nobody's business, and lead nowhere on another."""
    for step in (copy / "checkpoints").iterdir():
        seal(step)
    record = read_json(copy / "run.json")
    if record.get("began_as"):
        record["began_as"]["run"] = Path(record["began_as"]["run"]).name
    write_json(copy / "run.json", record)
