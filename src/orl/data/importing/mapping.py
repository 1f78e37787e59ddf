"""What of a file is observation, action and so on: flags of the command line, or a TOML file that re-runs them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orl.config import Tree, build, read_toml, to_toml
from orl.data.local import is_dataset_id
from orl.data.pendulum import RECIPES
from orl.errors import UsageError
from orl.files import write_text


@dataclass(frozen=True)
class Mapping:
    """How files become a dataset. Columns are named by patterns (see ``columns.choose``).

    Attributes:
        files, id: what is imported, and the Minari id it gets.
        obs, action, next_obs, episode: patterns; several columns together may name an episode.
        reward, order, terminated, truncated: patterns that fit one column each.
        allow_gaps: split an episode where rows are missing instead of refusing the file.
        time_limit: steps after which an episode is cut, so that an end there is no true one.
        action_low, action_high: bounds of the actions, one number for all dimensions or one each.
        reference_min, reference_max: returns that score 0 and 100.
        env_id: Gymnasium id of the environment to evaluate in.
    """

    files: tuple[str, ...] = ()
    id: str = ""
    obs: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    reward: str | None = None
    next_obs: tuple[str, ...] = ()
    episode: tuple[str, ...] = ()
    order: str | None = None
    terminated: str | None = None
    truncated: str | None = None
    allow_gaps: bool = False
    time_limit: int | None = None
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None
    reference_min: float | None = None
    reference_max: float | None = None
    env_id: str | None = None


def read_mapping(file: Path | None, flags: Tree) -> Mapping:
    """The mapping in a TOML file, with the values of `flags` that are not None on top.

    A mapping may come from elsewhere, with the log: the files it names must lie in its own folder or in the current
    one, while flags may name any.

    Raises:
        UsageError: an unreadable file, an unknown key (naming the nearest), files outside these folders, or a value
            that cannot be.
    """
    tree = read_toml(file) if file else {}
    if file and flags.get("files") is None:
        _refuse_outside(file, tree.get("files"))
    mapping = build(Mapping, tree | {key: value for key, value in flags.items() if value is not None})
    _check(mapping)
    return mapping


def save_mapping(mapping: Mapping, file: Path) -> None:
    """Write a TOML file that `read_mapping` reads; an UnwritableError where the folder cannot be written to."""
    write_text(file, to_toml(mapping))


def _refuse_outside(file: Path, names: Any) -> None:
    folders = [file.parent.resolve(), Path.cwd()]
    for name in names if isinstance(names, list) else []:
        if isinstance(name, str) and not _lies_in(Path(name), folders):
            raise UsageError(
                f"--mapping {file} names {name!r}, which is outside its folder; name the files on the command line to "
                "read them from anywhere"
            )


def _lies_in(path: Path, folders: list[Path]) -> bool:
    try:
        return any(path.resolve().is_relative_to(folder) for folder in folders)
    except (ValueError, OSError, RuntimeError):  # a NUL in the name, or links in a circle
        return False


def _check(mapping: Mapping) -> None:
    if not mapping.files:
        raise UsageError("no file to import; give one or more, or a --mapping that names them")
    twice = sorted({name for name in mapping.files if mapping.files.count(name) > 1})
    if twice:
        raise UsageError(f"{twice[0]} is named twice; each file is imported once")
    if not mapping.id:
        raise UsageError("--id is missing; it names the new dataset, such as plant/pump-v0")
    if not is_dataset_id(mapping.id):
        hint = f"{mapping.id}-v0" if is_dataset_id(f"{mapping.id}-v0") else "plant/pump-v0"
        raise UsageError(f"--id {mapping.id}: ids end with a version, such as {hint} (letters, digits, - _ and /)")
    if mapping.id in RECIPES:
        raise UsageError(f"--id {mapping.id}: an embedded dataset has this id; choose another")
    low, high = mapping.reference_min, mapping.reference_max
    if (low is None) != (high is None):
        raise UsageError("--reference-min and --reference-max go together: the returns that score 0 and 100")
    if low is not None and high is not None and not -math.inf < low < high < math.inf:
        raise UsageError(f"--reference-min {low} must lie below --reference-max {high}")
    if (mapping.action_low is None) != (mapping.action_high is None):
        raise UsageError("--action-low and --action-high go together; without both, bounds come from the data")
    if mapping.time_limit is not None and mapping.time_limit < 1:
        raise UsageError(f"--time-limit {mapping.time_limit}: must be 1 step or more")
    if mapping.env_id and ":" in mapping.env_id:
        raise UsageError(f"--env-id {mapping.env_id}: an id with a colon would import code; register it under another")
