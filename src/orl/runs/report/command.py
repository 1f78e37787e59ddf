"""The command that makes a run again, from its settings alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from orl.config import as_tree, completed
from orl.errors import OrlError
from orl.runs.calibration import SHARE
from orl.runs.config import resolve_fit, resolve_policy, resolve_sequence
from orl.runs.config_plan import resolve_plan
from orl.runs.directory import flat_settings
from orl.runs.penalty import CALIBRATED, DECIDED
from orl.runs.report.sources import Source

Resolve = Callable[[dict[str, Any]], tuple[Any, Any]]


def command_of(source: Source) -> str:
    """What makes the run again with this version: its flags, and `--set` for what no preset and no default says.

    Where that cannot be told, for the settings are another version's, it is the command with the run's config.toml.
    """
    try:
        begin, usual, named = _usual(source)
        words = [*begin, *_seeds(source), *_recorded(source), *_assignments(source, usual, named)]
    except (OrlError, KeyError, TypeError, ValueError):
        kind = str(source.run.record["kind"])
        words = [*COMMANDS.get(kind, ("fit-model",)), "--config", str(source.path / "config.toml")]
    return " ".join(shlex.quote(word) for word in ("orl", *words))


COMMANDS = {
    "policy": ("train-policy",),
    "plan": ("plan",),
    "ensemble": ("fit-model",),
    "transformer": ("fit-model", "--kind", "transformer"),
}


def _usual(source: Source) -> tuple[list[str], Any, set[str]]:
    """(the command's first words, the settings it has without more, those of them that flags stand for)."""
    kind, settings = str(source.run.record["kind"]), source.settings
    dataset = settings["dataset"]
    begin = [*COMMANDS[kind]]
    method: tuple[str, ...] = ()
    resolve: Resolve
    if kind == "policy":
        method, resolve = ("algorithm", "--algo"), lambda more: resolve_policy(dataset, settings["algorithm"], more)
    elif kind == "plan":
        method, resolve = ("planner", "--planner"), lambda more: resolve_plan(dataset, settings["planner"], more)
    else:
        resolve = (lambda more: resolve_fit(dataset, more)) if kind == "ensemble" else _sequence(dataset)
    usual = resolve({})[0]
    if method:
        begin += [method[1], settings[method[0]]]
    return [*begin, "--dataset", dataset], usual, {"dataset", "seed", "seeds", *method[:1]}


def _sequence(dataset: str) -> Resolve:
    return lambda more: resolve_sequence(dataset, more)


def _seeds(source: Source) -> list[str]:
    if source.is_model:
        return ["--seed", str(source.settings["seed"])] if source.settings["seed"] else []
    seeds = source.settings["seeds"]
    return [] if seeds == [0] else ["--seeds", ",".join(map(str, seeds)) if len(seeds) > 1 else f"{seeds[0]}"]


def _recorded(source: Source) -> Iterator[str]:
    """Flags that the record tells and the settings do not."""
    record = source.run.record
    if began := record.get("began_as"):
        yield from ("--init", str(began["run"]))
    if penalty := record.get("penalty"):
        yield from ("--penalty", CALIBRATED)
        if penalty["share"] != SHARE:
            yield from ("--share", f"{penalty['share']:g}")


def _assignments(source: Source, usual: Any, named: set[str]) -> Iterator[str]:
    settings, without = flat_settings(completed(source.settings, usual)), flat_settings(as_tree(usual))
    if source.run.record.get("penalty"):
        named = named | {f"agent.{key}" for key in DECIDED}
    if unset := set(without) - set(settings) - named:
        raise KeyError(f"{min(unset)} has a value in this version")
    for key, value in settings.items():
        if key not in named and without.get(key) != value:
            yield from ("--set", f"{key}={json.dumps(value, ensure_ascii=False)}")
