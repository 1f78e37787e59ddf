"""Tables of settings, made from the dataclasses themselves: every one with its default, its range and its meaning."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import annotated_types

from orl_site.docstrings import parse


class Setting(NamedTuple):
    """A field as users see it; `default` and `values` are words."""

    name: str
    default: str
    values: str
    meaning: str


def settings_of(cls: type[Any]) -> list[Setting]:
    """The settings of a dataclass in the order of its fields.

    Raises:
        ValueError: a setting whose meaning no docstring tells.
    """
    hints = get_type_hints(cls, include_extras=True)
    return [
        Setting(field.name, default_of(field), values_of(hints[field.name]), meaning_of(cls, field.name))
        for field in fields(cls)
        if not is_dataclass(hints[field.name])
    ]


def meaning_of(cls: type[Any], name: str) -> str:
    """What the nearest docstring among the class and its bases says of a field."""
    for base in cls.__mro__:
        if not is_dataclass(base) or "__doc__" not in vars(base):
            continue
        known = {field.name for field in fields(base)}
        for entry in parse(inspect.cleandoc(base.__doc__ or ""), known).sections.get("Attributes", []):
            if name in entry.names:
                return entry.text
    raise ValueError(f"{cls.__module__}.{cls.__name__}: no docstring says what {name} is")


def default_of(field: Field[Any]) -> str:
    """The default as it would be written in TOML; "required", or "unset" where there is none."""
    if field.default is MISSING:
        return "required"
    return "unset" if field.default is None else written(field.default)


def written(value: Any) -> str:
    """A value in TOML's way."""
    if isinstance(value, tuple):
        return f"[{', '.join(written(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:_}" if isinstance(value, int) else f"{value:g}"


def values_of(hint: Any) -> str:
    """What a field may hold, in words."""
    if get_origin(hint) is Literal:
        return " or ".join(written(value) for value in get_args(hint))
    if get_origin(hint) is Annotated:
        base, *rules = get_args(hint)
        return f"{values_of(base)} {_bounds(rules)}".strip()
    if get_origin(hint) is tuple:
        return f"list of {values_of(get_args(hint)[0])}"
    options = [option for option in get_args(hint) if option is not type(None)]
    if options:
        return " or ".join(dict.fromkeys(values_of(option) for option in options))
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(hint, hint.__name__)


def _bounds(rules: list[Any]) -> str:
    words = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}
    found = []
    for rule in rules:
        for limit in getattr(rule, "metadata", []):
            for kind, sign in words.items():
                if isinstance(limit, kind):
                    found.append(f"{sign} {getattr(limit, kind.__name__.lower()):g}")
    return ", ".join(found)


def markdown_table(cls: type[Any], prefix: str) -> list[str]:
    """Lines of a Markdown table of the settings, each with the name that `--set` takes."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for one in settings_of(cls):
        meaning = f"{one.meaning[0].upper()}{one.meaning[1:]}".replace("|", r"\|")
        lines.append(f"| `{prefix}{one.name}` | `{one.default}` | {meaning} *{one.values}* |")
    return lines
