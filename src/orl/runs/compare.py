"""`orl compare`: what two or more runs were told, what came of it, and how often the one beats the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.errors import DataError, UsageError
from orl.evaluation.statistics import improvement_ci, probability_of_improvement
from orl.runs.directory import RunDirectory, config_tree, flat_settings, load_run, read_json

Table = dict[str, list[Any]]  # name -> a value for each run, None where it has none

# Of run.json: what else decides a result beside the settings.
CIRCUMSTANCES = ("fingerprint", "device", "versions")


def compare(paths: list[Path], *, every_setting: bool = False) -> dict[str, Any]:
    """Settings and results of runs side by side, and the probability of improvement of each over each before it.

    Args:
        every_setting: keep the settings in which the runs agree.

    Raises:
        UsageError: fewer than two runs. DataError: a path is no run folder.
    """
    if len(paths) < 2:
        raise UsageError("compare wants two runs or more")
    runs = [load_run(path) for path in paths]
    told = side_by_side([settings_and_circumstances(run) for run in runs])
    played = common_evaluation(runs)
    columns = [results(run, played[index] if played else None) for index, run in enumerate(runs)]
    return {
        "settings": told if every_setting else differing(told),
        "results": side_by_side(columns),
        "evaluation": played and {key: played[0][key] for key in ("environment", "episodes", "evaluation_seed")},
        "improvement": improvements(paths, played) if played else [],
    }


def settings_and_circumstances(run: RunDirectory) -> dict[str, Any]:
    """Every setting by its dotted name, and what of the machine and the data decides a result."""
    record = {name: run.record[name] for name in CIRCUMSTANCES if name in run.record}
    return flat_settings(config_tree(run.path)) | flat_settings({"run": record})


def results(run: RunDirectory, evaluation: Mapping[str, Any] | None) -> dict[str, float]:
    """Every single number of a run's result and evaluation, by its dotted name; lists of them are left out."""
    found = dict(run.record.get("result") or {}) | {"seconds": run.record.get("seconds")}
    if evaluation is not None:
        parts = ("score", "best_score", "behaviour", "model_value", "ms_per_action")
        found["evaluation"] = {name: evaluation[name] for name in parts if evaluation.get(name)}
    return {key: value for key, value in flat_settings(found).items() if type(value) in (int, float)}


def side_by_side(columns: list[dict[str, Any]]) -> Table:
    """The columns' values under each name that any of them has, in the order in which names are met."""
    names = dict.fromkeys(itertools.chain(*columns))
    return {name: [column.get(name) for column in columns] for name in names}


def differing(table: Table) -> Table:
    """The rows whose values are not all the same."""
    return {name: values for name, values in table.items() if any(value != values[0] for value in values[1:])}


def common_evaluation(runs: list[RunDirectory]) -> list[dict[str, Any]] | None:
    """The runs' evaluations in one environment, over the same episodes: of several, the one with the most episodes.

    None where there is none that every run has.
    """
    found = [evaluations(run) for run in runs]
    common = [key for key in found[0] if all(key in each for each in found)]
    if not common:
        return None
    chosen = max(common, key=lambda key: key[1])
    return [each[chosen] for each in found]


def evaluations(run: RunDirectory) -> dict[tuple[str, int, int], dict[str, Any]]:
    """A run's evaluations by environment, episodes and first reset seed.

    Raises:
        DataError: one is damaged.
    """
    found = {}
    for file in sorted((run.path / "eval").glob("[!.]*.json")):
        document = read_json(file)
        if document.get("kind") != "evaluation":
            continue
        try:
            key = str(document["environment"]), int(document["episodes"]), int(document["evaluation_seed"])
            returns_of(document)
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{file} is a damaged evaluation; remove it, and let `orl evaluate` write it again"
            ) from None
        found[key] = document
    return found


def returns_of(document: Mapping[str, Any]) -> NDArray[np.float64]:
    """[S, M] returns of a run's seeds and episodes; a ValueError where there are none."""
    returns = np.asarray(document["returns"], np.float64)
    if returns.ndim != 2 or not returns.size:
        raise ValueError(f"returns of shape {returns.shape}")
    return returns


def improvements(paths: list[Path], played: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of every pair of runs, the later one over the earlier: P(X > Y) + P(X = Y) / 2 with its interval at 95%.

    X and Y are mean returns of training seeds where both runs have several, else returns of episodes, which say how
    the trained policies differ and nothing of what training again would give (`over`). Agarwal et al. 2021,
    arXiv:2108.13264.
    """
    found = []
    for (first, earlier), (second, later) in itertools.combinations(
        zip(paths, map(returns_of, played), strict=True), 2
    ):
        seeds = min(len(earlier), len(later)) > 1
        x, y = (each.mean(axis=1) if seeds else each.reshape(-1) for each in (later, earlier))
        found.append(
            {
                "run": str(second),
                "over_run": str(first),
                "probability": probability_of_improvement(x, y),
                "ci95": list(improvement_ci(x, y)),
                "over": "seeds" if seeds else "episodes",
                "samples": [int(x.size), int(y.size)],
            }
        )
    return found
