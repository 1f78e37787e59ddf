"""What planning promises on the default dataset, measured as a user would: heavy, so marked slow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orl.data.catalog import load
from orl.planning import PLANNERS
from orl.runs.config import resolve_policy
from orl.runs.config_plan import resolve_plan
from orl.runs.evaluate import evaluate
from orl.runs.plan import default_plan_path, plan
from orl.runs.train_policy import default_policy_path, train_policy

pytestmark = pytest.mark.slow

MIXED = "orl/pendulum/mixed-v0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder of the proofs' own, and a datasets folder beside it."""
    folder = tmp_path_factory.mktemp("planning_proofs")
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "datasets")
    return folder / "runs"


@pytest.fixture(scope="module")
def cloned(root: Path) -> float:
    """Score of behaviour cloning, three seeds of 20 episodes."""
    config, presets = resolve_policy(MIXED, "bc", {"seeds": [0, 1, 2]})
    path = default_policy_path(root, config)
    train_policy(load(MIXED), config, path, root=root, presets=presets)
    return evaluate(path, episodes=20)["score"]["mean"]


def planned(root: Path, planner: str) -> dict[str, Any]:
    """The evaluation of three models' planners at the preset, 20 episodes each."""
    config, presets = resolve_plan(
        MIXED, planner, {"seeds": [0, 1, 2], "plan": {"beam": 32} if planner == "beam" else {}}
    )
    return plan(load(MIXED), config, default_plan_path(root, config), root=root, presets=presets)


@pytest.mark.parametrize("planner", PLANNERS)
def test_planning_beats_cloning(planner: str, root: Path, cloned: float) -> None:
    """The beam scores at least 85 and bc + 10; every other planner more than bc."""
    document = planned(root, planner)
    score = document["score"]["mean"]
    print(f"{planner}: {score:.1f} {document['score']['per_seed']} (bc {cloned:.1f}), {document['ms_per_action']}")
    assert score > (max(85.0, cloned + 10.0) if planner == "beam" else cloned)
