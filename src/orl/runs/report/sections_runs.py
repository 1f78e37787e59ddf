"""The sections about the runs themselves: how to make them again, their settings and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orl.runs.report.html import Html, duration, element, joined, shown, table
from orl.runs.report.parts import paragraph

Runs = Sequence[Mapping[str, Any]]


def commands(runs: Runs) -> Html:
    """What makes each run again, and what happened to it."""
    return joined(*(_run(run) for run in runs))


def _run(run: Mapping[str, Any]) -> Html:
    seeds = ", ".join(map(str, run["seeds"]))
    facts = f"{run['name']} · {run['status']} · seeds {seeds} · {duration(run['seconds'])} · {run['device']}"
    facts += f" · presets: {', '.join(run['presets']) or 'none'}"
    parts = [
        element("h4", run["run"]),
        paragraph(facts),
        *(element("p", text, class_="warn") for text in _events(run)),
        element("pre", element("code", run["command"]), tabindex="0"),
        element(
            "details", element("summary", "Every setting (config.toml)"), element("pre", run["config"], tabindex="0")
        ),
    ]
    return element("article", *parts)


def _events(run: Mapping[str, Any]) -> list[str]:
    found = []
    if run["rollback"]:
        found.append(f"Diverged and went back: {_words(run['rollback'])}")
    if run["value_warning"]:
        found.append(f"Values beyond what rewards allow: {_words(run['value_warning'])}")
    return found


def _words(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in entry.items())
    return str(entry)


def settings(runs: Runs) -> Html:
    """The settings that several runs of a kind have and disagree on; all of them stand with each run's command."""
    parts = []
    for kind in dict.fromkeys(run["kind"] for run in runs):
        alike = [run["settings"] for run in runs if run["kind"] == kind]
        keys = sorted({key for each in alike for key in each})
        values = {key: {str(each[key]) for each in alike if key in each} for key in keys}
        rows = [[key, *(_setting(each.get(key)) for each in alike)] for key in keys if len(values[key]) > 1]
        if rows:
            columns = ["setting", *(run["run"].rsplit("/", 1)[-1] for run in runs if run["kind"] == kind)]
            parts.append(table(columns, rows, name=f"Settings in which the runs of kind {kind} differ"))
    if not parts:
        return paragraph("No two runs of a kind disagree in a setting; all stand below, with each command.")
    said = "Settings that runs of one kind disagree on; a dash where a method has none of that name. All stand below."
    return joined(paragraph(said), *parts)


def _setting(value: Any) -> str:
    return "–" if value is None else str(value)


def versions(runs: Runs, now: Mapping[str, str]) -> Html:
    """Versions of what computed the runs, a column a set of them, and of what wrote the report."""
    sets: dict[str, tuple[Mapping[str, str], list[str]]] = {}
    for run in runs:
        sets.setdefault(str(sorted(run["versions"].items())), (run["versions"], []))[1].append(run["run"])
    packages = list(dict.fromkeys([*now, *(name for found, _ in sets.values() for name in found)]))
    found = list(sets.values())
    titles = ["all runs"] if len(found) == 1 else [", ".join(names) for _, names in found]
    rows = [[name, *(str(each.get(name, "–")) for each, _ in found), now.get(name, "–")] for name in packages]
    return table(["package", *titles, "this report"], rows, name="Versions")
