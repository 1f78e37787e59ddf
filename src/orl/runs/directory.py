"""A run is a folder: settings, record, metrics, checkpoints; nothing else is needed to understand it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from orl.config import as_tree, completed, read_toml, to_toml
from orl.documents import brief, parse_json
from orl.errors import DataError, UsageError
from orl.files import TEMPORARY, append_text, saving, write_text
from orl.locking import LOCK
from orl.runs.claim import clear_folder
from orl.runs.run_record import Record, checked_record

T = TypeVar("T")
SCHEMA = 1
PACKAGES = ("orl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "minari", "gymnasium")


def versions() -> dict[str, str]:
    """The versions that decide what a run computes."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old document or the new one, never half of one.

    Raises:
        UnwritableError: the disk is full or the folder cannot be written to; the old document is still there.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The document at `path`, or a DataError that names it."""
    try:
        document = parse_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise DataError(f"{path} does not hold a JSON object")
    return document


def slug(name: str) -> str:
    """A folder name from a dataset's name or path."""
    stem = Path(name).stem if Path(name).suffix else name
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in stem).strip("-.") or "dataset"


@dataclass
class RunDirectory:
    """An open run folder."""

    path: Path
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the work in this folder is done."""
        return self.record.get("status") == "finished"

    @property
    def history(self) -> int:
        """How many past observations and actions the run's networks see.

        Raises:
            DataError: the settings say something else than a whole number.
        """
        depth = config_tree(self.path).get("history", 0)
        if type(depth) is not int or depth < 0:
            raise DataError(f"{self.path}/config.toml: history = {brief(repr(depth))}: a whole number from 0 is needed")
        return depth

    @property
    def checkpoints(self) -> Path:
        """Where Orbax keeps the steps."""
        return self.path / "checkpoints"

    def update(self, **values: Any) -> None:
        """Change entries of run.json."""
        self.record |= values
        write_json(self.path / "run.json", self.record)

    def append(self, file: str, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl or timings.jsonl; non-finite numbers are written as null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        append_text(self.path / file, json.dumps(clean) + "\n")

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl or timings.jsonl; a torn last line is ignored.

        Raises:
            DataError: another line is no row with a step.
        """
        return list(_complete_lines(self.path / file))

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, and a line that was torn: they will be made again.

        Raises:
            DataError: as `rows`.
        """
        for file in ("metrics.jsonl", "timings.jsonl"):
            path = self.path / file
            if path.exists():
                kept = [json.dumps(row) + "\n" for row in _complete_lines(path) if row["step"] <= step]
                write_text(path, "".join(kept))


def open_run(
    path: Path, kind: str, config: Any, identity: Mapping[str, Any], details: Mapping[str, Any], *, force: bool = False
) -> RunDirectory:
    """Create the folder, or open the same run again, for whoever has claimed it (`runs.claim`).

    Args:
        kind: "ensemble" or "policy". config: its settings. identity: what must also agree to go on (fingerprints).
        details: entries of run.json for a new run. force: replace a run that does not agree, or is finished.

    Raises:
        UsageError: the folder holds something else, or a run with other settings, or cannot be written to.
    """
    check_folder(path, kind, config, identity, force=force)
    if force and (path / "run.json").exists():
        clear_folder(path, last="run.json")
    if (path / "run.json").exists():
        run = load_run(path)
        if not run.finished:
            run.update(status="running")
        return run
    run = RunDirectory(path, {"schema": SCHEMA, "kind": kind, "status": "running", **identity, **details})
    with saving(path):
        path.mkdir(parents=True, exist_ok=True)
    try:
        write_text(path / "config.toml", to_toml(config))
        run.update(versions=versions())  # from here on it is a run
    except BaseException:
        (path / "config.toml").unlink(missing_ok=True)
        raise
    return run


def check_folder(path: Path, kind: str, config: Any, identity: Mapping[str, Any], *, force: bool = False) -> None:
    """Raise UsageError unless `open_run` may use the folder: it is new, empty, or holds the same run."""
    if (path / "run.json").exists():
        if not force:
            _check_same(path, kind, config, identity)
    elif path.exists() and not (path.is_dir() and _is_fresh(path, config)):
        raise UsageError(f"{path} exists and is not a run folder; choose another with --out")


def is_finished(path: Path) -> bool:
    """Whether the folder holds a run whose work is done."""
    return (path / "run.json").exists() and load_run(path).finished


def load_run(path: Path, kind: str | None = None) -> RunDirectory:
    """Open an existing run to read it.

    Raises:
        DataError: not a run folder, or one of another kind.
    """
    if not (path / "run.json").is_file():
        raise DataError(f"{path} is not a run folder (no run.json); `orl runs list` shows those there are")
    record = read_json(path / "run.json")
    check_schema(path, record)
    if kind and record.get("kind") != kind:
        raise DataError(f"{path} is a run of kind {record.get('kind')}; one of kind {kind} is needed here")
    lacking = [key for key in ("kind", "status") if key not in record]
    if lacking:
        raise DataError(f"{path}/run.json is damaged: it lacks {', '.join(lacking)}")
    return RunDirectory(path, checked_record(path / "run.json", record))


def check_schema(path: Path, record: Mapping[str, Any]) -> None:
    """DataError unless this version reads what is in the folder."""
    there = record.get("schema")
    if there != SCHEMA:
        newer = isinstance(there, int) and there > SCHEMA
        remedy = "a newer orl wrote it, so update this one" if newer else "make it again in another folder with --out"
        raise DataError(f"{path} was written with schema {there}; this version reads {SCHEMA}; {remedy}")


def find_runs(root: Path) -> Iterator[RunDirectory]:
    """Every readable run below `root`, by path; the copies inside other runs are left out."""
    for record in sorted(root.glob("*/*/run.json")) + sorted(root.glob("*/run.json")):
        if (record.parent.parent / "run.json").exists() or record.parent.name.startswith(TEMPORARY):
            continue
        try:
            yield load_run(record.parent)
        except DataError:
            continue


def _is_fresh(path: Path, config: Any) -> bool:
    """Empty, or where a run was killed before its run.json was there: its lock, at least, it had by then."""
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith((TEMPORARY, "run.json"))}
    if names <= {LOCK} or names == {LOCK, "config.toml"}:
        return True
    return names == {"config.toml"} and (path / "config.toml").read_text(encoding="utf-8") == to_toml(config)


def _check_same(path: Path, kind: str, config: Any, identity: Mapping[str, Any]) -> None:
    run = load_run(path)
    wanted = {"kind": kind, **identity, **flat_settings(as_tree(config))}
    settings = completed(config_tree(path), config)
    there = {"kind": run.record["kind"], **{k: run.record.get(k) for k in identity}, **flat_settings(settings)}
    for key in wanted | there:
        if wanted.get(key) != there.get(key):
            data = run.record.get("dataset")
            about = f" (there: {_size(data)})" if key == "fingerprint" and data else ""
            raise UsageError(
                f"{path} holds another run: {key} is {there.get(key)!r} there and {wanted.get(key)!r} now{about};"
                " choose another folder with --out, or replace it with --force"
            )


def _size(data: Mapping[str, Any]) -> str:
    """What run.json says of the data, for a reader to whom a fingerprint says nothing."""
    sizes = f"{data['steps']:,} steps in {data['episodes']:,} episodes"
    return f"{data['name']} with {sizes}, {data['obs_dim']} observed and {data['action_dim']} acted on"


def config_tree(path: Path) -> dict[str, Any]:
    """The settings in a run folder as plain values; a DataError where config.toml is missing or broken."""
    try:
        return Record(path / "config.toml", read_toml(path / "config.toml"))
    except UsageError as error:
        raise DataError(str(error)) from None


def settings_of(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """The settings in a run folder as `read` makes them of plain values; a DataError that names the file."""
    tree = config_tree(path)
    try:
        return read(tree)
    except UsageError as error:
        raise DataError(f"{path}/config.toml: {error}") from None


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings as one level, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _complete_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log; what a killed process left of a last one is no row.

    Raises:
        DataError: another line holds no row with a step.
    """
    if not path.exists():
        return
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row, fault = parse_json(line), "is no JSON object with a whole number as step"
        except ValueError as error:
            row, fault = None, f"is not valid JSON ({error})"
        if isinstance(row, dict) and type(row.get("step")) is int:
            yield row
        elif number < len(lines):
            raise DataError(f"{path}: line {number} {fault}; remove that line")
