"""What a command leaves: whether all of it can be read, and whether two folders hold the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import orbax.checkpoint as ocp

from orl.files import TEMPORARY
from orl.runs.directory import load_run
from orl.runs.seals import newest

# What the clock says, and what depends on it alone.
CLOCK = {"seconds", "seconds_by_stage", "updates_per_second", "seconds_per_update", "ms", "ms_per_action", "measured"}
CLOCK |= {"latency_ms"}
TIMED = "One observation takes"  # a line of a model card


def without_clock(document: Any) -> Any:
    """A JSON document but for what the clock says."""
    if isinstance(document, dict):
        return {key: without_clock(value) for key, value in document.items() if key not in CLOCK}
    return [without_clock(each) for each in document] if isinstance(document, list) else document


def files_of(folder: Path, hidden_too: bool = True) -> Iterator[Path]:
    """Every file below `folder`, but those that stand for being unfinished and, if asked, those of hidden folders."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        unfinished = any(part.startswith((TEMPORARY, ".importing-")) for part in parts)
        if path.is_file() and (hidden_too or not unfinished):
            yield path


def assert_readable(folder: Path, interval: int | None) -> None:
    """Right after a kill: everything that has its final name is whole, and little work is lost."""
    for path in files_of(folder, hidden_too=False):
        if path.suffix == ".json" and "checkpoints" not in path.parts:
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            lines = path.read_text().splitlines(keepends=True)
            assert all(json.loads(line) for line in lines if line.endswith("\n")), path
            assert all(line.endswith("\n") for line in lines[:-1]), path
        elif path.suffix == ".hdf5":
            with h5py.File(path) as file:
                assert len(file) > 0
        if path.name == "run.json":
            load_run(path.parent)
            newest_of(path.parent)
    if interval is not None and (folder / "run" / "metrics.jsonl").exists():
        lines = (folder / "run" / "metrics.jsonl").read_text().splitlines(keepends=True)
        made = [json.loads(line)["step"] for line in lines if line.endswith("\n")]
        saved = (newest_of(folder / "run") or 0) * (10 if "seed" in json.loads(lines[0]) else 1) if made else 0
        assert not made or made[-1] - saved <= interval, (made[-1], saved)


def newest_of(run: Path) -> int | None:
    """The newest checkpoint of a run; none is damaged."""
    return newest(run / "checkpoints") if (run / "checkpoints").is_dir() else None


def assert_same(ours: Path, theirs: Path) -> None:
    """The same files with the same content, clock times apart, and nothing left over."""
    mine, other = (dict(contents(folder)) for folder in (ours, theirs))
    assert mine.keys() == other.keys(), sorted(mine.keys() ^ other.keys())
    different = [name for name in mine if not same(mine[name], other[name])]
    assert different == []


def contents(folder: Path) -> Iterator[tuple[str, Any]]:
    """(name, content) of everything in a folder, as what two outcomes are compared by."""
    for step in sorted(folder.rglob("_CHECKPOINT_METADATA")):
        yield str(step.parent.relative_to(folder)), arrays(step.parent)
    for path in files_of(folder):
        name = str(path.relative_to(folder))
        if any(part.isdigit() for part in path.parent.relative_to(folder).parts):
            continue  # inside a checkpoint
        if path.suffix == ".json":
            yield name, without_clock(json.loads(path.read_text()))
        elif path.name == "timings.jsonl":
            yield name, [json.loads(line)["step"] for line in path.read_text().splitlines()]
        elif path.suffix == ".hdf5":
            yield name, tables(path)
        elif path.suffix == ".md":
            yield name, [line for line in path.read_text().splitlines() if TIMED not in line]
        else:
            yield name, path.read_bytes()


def arrays(step: Path) -> dict[str, np.ndarray]:
    """Every array of every item of a checkpoint."""
    names = sorted(each.name for each in step.iterdir() if each.is_dir())
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        kinds = {name: ocp.args.StandardRestore() for name in names}
        items = orbax.restore(step.absolute(), args=ocp.args.Composite(**kinds))
    leaves = [pair for name in names for pair in jax.tree_util.tree_leaves_with_path({name: items[name]})]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def tables(file: Path) -> dict[str, np.ndarray]:
    """Every dataset of an HDF5 file."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(file) as opened:
        opened.visititems(lambda name, node: found.update({name: node[()]} if isinstance(node, h5py.Dataset) else {}))
    return found


def same(one: Any, other: Any) -> bool:
    """Equality, of arrays bit by bit."""
    if isinstance(one, dict) and any(isinstance(value, np.ndarray) for value in one.values()):
        return one.keys() == other.keys() and all(bits(one[key]) == bits(other[key]) for key in one)
    return bool(one == other)


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and bytes."""
    return str(array.dtype), array.shape, array.tobytes()
