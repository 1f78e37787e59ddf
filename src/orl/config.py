"""Settings: TOML files, presets and `--set` into frozen dataclasses; unknown keys end with the nearest known one.

Precedence, lowest first: defaults of the dataclasses, presets in experiments/, `--config FILE`, `--set a.b=c`, flags.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from orl.documents import brief
from orl.errors import UsageError

RESULTS = "results"  # a folder of experiments/ with runs in it, whose settings are no presets
MOST = 2**53  # of a whole number: what a float holds exactly, and sizes in bytes can be reckoned with
T = TypeVar("T")
Tree = dict[str, Any]


class Preset(NamedTuple):
    """One file of experiments/: which datasets and algorithms it is for, and the settings it changes."""

    path: str
    settings: Tree


def build(cls: type[T], values: Tree, prefix: str = "") -> T:
    """An instance of the dataclass `cls` (nested dataclasses included) from plain values, types checked.

    `prefix` stands before the keys in messages.

    Raises:
        UsageError: naming the key, and the nearest known one, or what is wrong with its value.
    """
    _refuse_unknown(cls, values, prefix)
    _refuse_infinite(values, prefix)
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {key} = {brief(repr(first['input']))}: {first['msg'].lower()}") from None


def merge(base: Tree, over: Tree) -> Tree:
    """`base` with the values of `over` on top, tables merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_assignment(text: str) -> Tree:
    """The tree of one `--set a.b=value`; the value is read as TOML, and as a plain string where it is not TOML.

    Raises:
        UsageError: there is no = in it, or no key before it.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text}: expected key=value, such as agent.penalty_coef=2.5")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    for key in reversed(path.strip().split(".")):
        parsed = {key: parsed}
    return parsed


def read_toml(path: Path) -> Tree:
    """The settings in a TOML file.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}") from None
    except ValueError as error:  # also of bytes that are no UTF-8, and of numbers of thousands of digits
        raise UsageError(f"{path} is not valid TOML: {brief(str(error))}") from None
    except RecursionError:
        raise UsageError(f"{path} is not valid TOML: lists or tables are nested too deeply") from None


def as_tree(config: Any) -> Tree:
    """A config dataclass as plain values, ready for TOML: tuples become lists, what is None is left out."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(asdict(config))


def completed(tree: Tree, config: Any) -> Tree:
    """`tree`, written by an earlier version, with the defaults of those settings of `config` that it did not have."""
    defaults: Tree = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            defaults[field.name] = completed({}, value)
        elif field.default is not MISSING and field.default is not None:
            defaults[field.name] = list(field.default) if isinstance(field.default, tuple) else field.default
    return merge(defaults, tree)


def to_toml(config: Any) -> str:
    """A config dataclass as a TOML document."""
    return toml(as_tree(config))


def toml(tree: Tree) -> str:
    """Plain values as a TOML document."""
    import tomli_w

    return tomli_w.dumps(tree)


def presets_folder() -> Path:
    """Where the presets lie: inside the installed package, or in the repository of an editable install."""
    here = Path(__file__).parent
    installed = here / "experiments"
    return installed if installed.is_dir() else here.parents[1] / "experiments"


def find_presets(
    dataset: str, algorithm: str | None, folder: Path | None = None, *, explicit: bool = False
) -> list[Preset]:
    """The presets for a dataset and an algorithm (None: an ensemble's fit), general before special.

    A file names the datasets it is for by `datasets = [patterns]` and, optionally, `algorithms = [names]`. Files with
    `fallback = true` are used only where no other file names the dataset. With `explicit`, files that name no
    algorithms are passed over, as if they were not there: planners and transformers have nothing to learn from those.
    """
    root = folder or presets_folder()
    files = [path for path in root.rglob("*.toml") if path.relative_to(root).parts[0] != RESULTS]
    name = Path(dataset).name if Path(dataset).suffix else dataset
    special: list[Preset] = []
    fallback: list[Preset] = []
    named = False
    for path in sorted(files, key=lambda p: (len(p.parts), str(p))):
        settings = read_toml(path)
        patterns = settings.pop("datasets", [])
        algorithms = settings.pop("algorithms", None)
        is_fallback = settings.pop("fallback", False)
        if not any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns):
            continue
        if explicit and algorithm not in (algorithms or ()):
            continue
        named = named or not is_fallback
        if algorithms is None or algorithm in algorithms:
            (fallback if is_fallback else special).append(Preset(str(path.relative_to(root)), settings))
    return special if named else fallback


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where something known is near, else the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"


def _refuse_infinite(value: Any, key: str) -> None:
    """No setting means anything when it is infinite or near it, and none can be NaN; TOML can say all of that."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for inner, item in items:
            _refuse_infinite(item, f"{key}{inner}.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"setting {key.rstrip('.')} = {value}: input should be a finite number")
    elif isinstance(value, int) and abs(value) > MOST:
        raise UsageError(f"setting {key.rstrip('.')}: input should lie within {MOST:,}")


def _refuse_unknown(cls: Any, values: Tree, prefix: str) -> None:
    hints = get_type_hints(cls)
    known = {field.name for field in fields(cls)}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"unknown setting {prefix}{brief(key)}{did_you_mean(key, known)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise UsageError(f"setting {prefix}{key} is a table of settings, not {brief(repr(value))}")
            _refuse_unknown(hints[key], value, f"{prefix}{key}.")
