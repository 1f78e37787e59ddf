"""`orl demo`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from orl_cli.common import DEFAULT_ROOT, Debug, Device, Json, Quiet, Root, guarded, set_up_machine
from orl_cli.console import out, print_json, print_table, reporter_for
from orl_cli.evaluate import score_table

DATASETS = ("orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0")
# Cloning, and every way to be wary of a model: not at all, by its reward, by its ends, by the critic, near the data.
# `rebrac` is `mobrac` without a model; `mobile` prices doubt as `mopo` does, and takes several times as long.
METHODS = ("bc", "cql", "mbpo", "mopo", "morel", "combo", "mobrac")


@guarded
def demo(
    episodes: Annotated[int, typer.Option(min=1, help="Evaluation episodes a policy.")] = 20,
    runs: Root = DEFAULT_ROOT,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a method of each kind on both embedded datasets and print what each is worth.

    One seed, one shared model per dataset. Run again, it goes on where it was stopped.
    """
    set_up_machine(device)
    from orl.algorithms import ALGORITHMS
    from orl.data.catalog import load
    from orl.runs.config import resolve_policy
    from orl.runs.evaluate import evaluate
    from orl.runs.train_policy import default_policy_path, train_policy

    began, reporter = time.perf_counter(), reporter_for(quiet)
    results: dict[str, list[dict]] = {}
    paths: list[Path] = []
    for name in DATASETS:
        data = load(name, reporter.message)
        for algorithm in METHODS:
            reporter.message(f"[{name}] {algorithm}: {ALGORITHMS[algorithm].summary}")
            config, presets = resolve_policy(name, algorithm, {})
            path = default_policy_path(runs, config)
            train_policy(data, config, path, root=runs, presets=presets, reporter=reporter)
            results.setdefault(name, []).append(evaluate(path, episodes=episodes, reporter=reporter))
            paths.append(path)
    seconds = time.perf_counter() - began
    if json:
        versions = results[DATASETS[0]][0]["versions"]
        document = {"schema": 1, "run": [str(path) for path in paths], "seconds": seconds, "versions": versions}
        return print_json(document | {"evaluations": results})
    for name, documents in results.items():
        print_table(score_table(name, documents))
    return out(f"{len(paths)} policies in {seconds:.0f} s; their folders are below {runs}")
