"""Published scores: found by D4RL's names only, of methods that there are, and as their sources have them."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from orl.algorithms import ALGORITHMS
from orl.planning import PLANNERS
from orl.runs.report.published import d4rl_name, published_scores


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("hopper-medium-replay-v2", "hopper-medium-replay-v2"),
        ("/data/hopper_medium_replay-v2.hdf5", "hopper-medium-replay-v2"),
        ("D4RL/hopper/medium-v2", "hopper-medium-v2"),
        ("mujoco/hopper/medium-v0", "mujoco-hopper-medium-v0"),
    ],
)
def test_names(name: str, known: str) -> None:
    assert d4rl_name(name) == known


def test_data_of_other_simulators_have_no_published_scores() -> None:
    assert published_scores("mujoco/hopper/medium-v0") == []
    assert published_scores("orl/pendulum/mixed-v0") == []


def test_values_and_sources() -> None:
    found = {(each["algorithm"], each["source"]["title"]): each for each in published_scores("hopper_medium-v2.hdf5")}
    mopo = found["mopo", "OfflineRL-Kit, README"]
    assert (mopo["score"], mopo["spread"], mopo["source"]["spread"]) == (62.8, 38.1, "standard deviation of 4 seeds")
    assert found["bc", "CORL, README, last scores"]["score"] == 53.5
    assert found["rebrac", "ReBRAC, paper"]["score"] == 102.0
    assert found["beam", "Trajectory Transformer, paper, quantile discretisation"]["score"] == 61.1
    old = {(each["algorithm"], each["score"], each["spread"]) for each in published_scores("walker2d-medium-v0")}
    assert old == {("mopo", 17.8, 19.3), ("mbpo", 12.7, 7.6), ("morel", 77.8, None)}


def test_every_method_is_one_of_ours() -> None:
    tables = json.loads(files("orl.runs.report").joinpath("published.json").read_text())
    methods = {name for table in tables for scores in table["scores"].values() for name in scores}
    assert methods <= {*ALGORITHMS, *PLANNERS}
    assert len(tables) == 6
    assert all(table["where"] for table in tables)
