"""`orl demo`: which policies it trains on which data, and that all of them are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orl.algorithms import ALGORITHMS
from orl.data import catalog
from orl.runs import evaluate, train_policy
from orl_cli.demo import DATASETS, METHODS


def test_a_method_of_each_kind_on_both_datasets(
    orl: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with its presets, then judged in that order; nothing is trained here."""
    trained: list[tuple[str, str]] = []
    judged: list[Path] = []

    def train(data: Any, config: Any, path: Path, **options: Any) -> None:
        assert (data.name, options["root"]) == (config.dataset, tmp_path)
        assert options["presets"]
        trained.append((config.dataset, config.algorithm))

    def judge(path: Path, **options: Any) -> dict[str, Any]:
        judged.append(path)
        return {"run": str(path), "episodes": options["episodes"], "versions": {}}

    monkeypatch.setattr(catalog, "load", lambda name, message: SimpleNamespace(name=name))
    monkeypatch.setattr(train_policy, "train_policy", train)
    monkeypatch.setattr(evaluate, "evaluate", judge)
    done = orl("demo", "--episodes", 3, "--runs", tmp_path, "--json", "--quiet")
    assert done.code == 0, done.err
    methods = ["bc", "cql", "mbpo", "mopo", "morel", "combo", "mobrac"]
    datasets = ["orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0"]
    assert trained == [(dataset, method) for dataset in datasets for method in methods]
    assert done.document["run"] == [str(path) for path in judged]
    found = done.document["evaluations"]
    assert {name: [each["episodes"] for each in found[name]] for name in found} == dict.fromkeys(datasets, [3] * 7)
    assert set(METHODS) <= set(ALGORITHMS)
    assert list(DATASETS) == datasets
