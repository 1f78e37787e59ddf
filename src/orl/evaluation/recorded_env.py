"""The environment that a log names, judged before it is made.

A recorded spec is code: its entry point, its wrappers and the module before a colon in its id are imported and called
when Gymnasium makes it, and the call comes before any check of what it returns. So of a spec only an id that is in the
registry already, and settings that are plain values, are used. Whatever else it asks for needs the user's trust.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import gymnasium

from orl.errors import DataError
from orl.evaluation.episodes import FORWARDING_IDS, EnvSpec

_ID = re.compile(r"[-\w:.]+(/[-\w:.]+)?")
# A setting may be a word: no path, no file name, nothing with a module in it.
_WORD = re.compile(r"[-\w ]{0,64}")
_DEPTH = 6
_SHOWN = 60  # characters of a value in a message


def recorded_env(recorded: Mapping[str, Any], trusted: bool = False) -> EnvSpec | None:
    """The environment of a log, or None where it names none. Nothing is imported or made.

    Args:
        recorded: ``env_id``, ``env_kwargs``, ``max_episode_steps`` and ``env_spec`` (JSON text), as in run.json.
        trusted: accept a spec that asks for code of its own; it runs once the environment is made.

    Raises:
        DataError: the entries are no such values, or ask for code and are not trusted.
    """
    env_id, kwargs, limit = (recorded.get(key) for key in ("env_id", "env_kwargs", "max_episode_steps"))
    if not env_id:
        return None
    if not isinstance(env_id, str) or not _ID.fullmatch(env_id):
        raise DataError(f"the data names the environment {_shown(env_id)}, which is no id of Gymnasium")
    if not isinstance(kwargs, dict) or not (limit is None or isinstance(limit, int)):
        raise DataError(
            f"the settings of the data's environment {env_id} are damaged: {_shown(kwargs)}, {_shown(limit)}"
        )
    text = recorded.get("env_spec")
    spec = _parsed(text)
    asked = [*_code_of(env_id, spec), *_settings(kwargs)]
    if asked and not trusted:
        raise DataError(
            f"the data's environment {env_id} asks for more than a registered id: {', '.join(asked)}; that runs code "
            "of the data's author and is refused without --trust-env"
        )
    return EnvSpec(env_id, kwargs, limit, code=text if asked and spec else None)


def _code_of(env_id: str, spec: Mapping[str, Any]) -> list[str]:
    """What making the spec would import, beyond what the registry says of its id."""
    asked = [f"the id {_shown(env_id)}"] if ":" in env_id or env_id in FORWARDING_IDS else []
    entry = spec.get("entry_point")
    if entry is not None and not _is_registered(entry, env_id):
        asked.append(f"the entry point {_shown(entry)}")
    wrappers = spec.get("additional_wrappers") or []
    for wrapper in wrappers if isinstance(wrappers, list) else [wrappers]:
        named = wrapper.get("entry_point") if isinstance(wrapper, dict) else wrapper
        asked.append(f"the wrapper {_shown(named)}")
    return asked


def _is_registered(entry: Any, env_id: str) -> bool:
    """Whether the registry has the id for a class of this name in this package; modules move between versions."""
    known = gymnasium.registry.get(env_id)
    if known is None or not isinstance(entry, str):
        return False
    there = known.entry_point
    name = there if isinstance(there, str) else f"{there.__module__}:{getattr(there, '__qualname__', '')}"
    return _package_and_class(name) == _package_and_class(entry)


def _package_and_class(entry: str) -> tuple[str, str]:
    module, _, name = entry.partition(":")
    return module.split(".")[0], name


def _settings(kwargs: Mapping[str, Any]) -> list[str]:
    return [f"the setting {key} = {_shown(value)}" for key, value in kwargs.items() if not _is_plain(value)]


def _is_plain(value: Any, depth: int = _DEPTH) -> bool:
    """Numbers, words, and lists and tables of them."""
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    if isinstance(value, list | dict) and depth:
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return all(_is_plain(each, depth - 1) for each in inner)
    return value is None or isinstance(value, bool | int | float)


def _parsed(text: Any) -> dict[str, Any]:
    try:
        spec = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        spec = {}
    return spec if isinstance(spec, dict) else {}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
