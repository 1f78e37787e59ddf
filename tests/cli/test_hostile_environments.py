"""Datasets whose environment is code, through every command that plays: refused in one line, run only when trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from tiny_settings import TINY_AGENT, TINY_BEAM, TINY_SEQUENCE, settings

MODULE = """
open({marker!r}, "a").close()
import gymnasium
from gymnasium.envs.classic_control.pendulum import PendulumEnv

class Env(PendulumEnv):
    pass

class Wrapper(gymnasium.Wrapper):
    pass

gymnasium.register("{name}/Evil-v0", entry_point=Env, max_episode_steps=5)
"""
NAME = "made/hostile-v0"


class Attack:
    """A dataset whose environment, were it made, would import a module that leaves `marker`."""

    def __init__(self, marker: Path, asked: str) -> None:
        self.marker, self.asked = marker, asked


def changes_of(kind: str, module: str) -> tuple[dict[str, Any], str]:
    """What the spec says instead, and how the refusal names it."""
    if kind == "entry point":
        return {"entry_point": f"{module}:Env"}, f"the entry point '{module}:Env'"
    if kind == "id":
        return {"id": f"{module}:{module}/Evil-v0", "entry_point": None}, f"the id '{module}:{module}/Evil-v0'"
    wrapper = {"name": "Wrapper", "entry_point": f"{module}:Wrapper", "kwargs": {}}
    return {"additional_wrappers": [wrapper]}, f"the wrapper '{module}:Wrapper'"


@pytest.fixture(params=["entry point", "id", "wrapper"])
def attack(
    request: pytest.FixtureRequest, pendulum_log: str, sandbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    """The tiny pendulum's log with a spec that asks for code, and the module it asks for."""
    module = f"evil_{abs(hash(request.node.nodeid)) % 10**8}"  # another for each test, for modules stay imported
    marker, target = tmp_path / "ran", tmp_path / "minari" / NAME
    (tmp_path / f"{module}.py").write_text(MODULE.format(marker=str(marker), name=module))
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(sandbox / "minari" / pendulum_log, target)
    changes, asked = changes_of(request.param, module)
    file = target / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    spec = json.loads(metadata["env_spec"]) | changes | {"max_episode_steps": 5}
    file.write_text(json.dumps(metadata | {"env_spec": json.dumps(spec)}))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    yield Attack(marker, asked)
    gymnasium.registry.pop(f"{module}/Evil-v0", None)


def refusals(done: Any, attack: Attack) -> int:
    """Lines on stderr that name what was asked for and how to allow it."""
    return sum(attack.asked in line and "--trust-env" in line for line in done.err.splitlines())


def test_training_and_evaluation(attack: Attack, orl: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train-policy", "-a", "bc", "-d", NAME, "--steps", 10, *settings(TINY_AGENT)]
    trained = orl(*words, "--out", run)
    assert (trained.code, refusals(trained, attack), attack.marker.exists()) == (0, 1, False)
    assert "training without evaluation: the data's environment" in trained.err
    judged = orl("evaluate", run, "--episodes", 1, "--no-bc")
    assert (judged.code, judged.out, refusals(judged, attack)) == (3, "", 1)
    assert not attack.marker.exists()
    assert not (run / "eval").exists()
    # the user's own word for another environment
    assert orl("evaluate", run, "--episodes", 1, "--no-bc", "--env", "Pendulum-v1").code == 0
    assert not attack.marker.exists()
    trusted = orl("evaluate", run, "--episodes", 1, "--no-bc", "--trust-env", "--json")
    assert trusted.code == 0, trusted.err
    assert attack.marker.exists()
    assert trusted.document["lengths"] == [[5]]


def test_training_that_is_trusted_evaluates(attack: Attack, orl: Callable[..., Any], tmp_path: Path) -> None:
    words = ["train-policy", "-a", "bc", "-d", NAME, "--steps", 10, *settings(TINY_AGENT)]
    done = orl(*words, "--out", tmp_path / "run", "--trust-env", "--json")
    assert (done.code, "training without evaluation" in done.err) == (0, False)
    assert attack.marker.exists()
    assert "score" in done.document


def test_planning_refuses_before_a_model_is_fitted(attack: Attack, orl: Callable[..., Any], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done = orl("plan", "-d", NAME, "--episodes", 1, "--runs", runs, *settings(TINY_SEQUENCE, TINY_BEAM))
    assert (done.code, done.out, refusals(done, attack)) == (3, "", 1)
    assert not attack.marker.exists()
    assert not runs.exists()


def test_describing_and_checking_make_nothing(attack: Attack, orl: Callable[..., Any]) -> None:
    assert orl("data", "list").code == 0
    assert orl("data", "show", NAME).code == 0
    assert orl("data", "check", NAME).code in (0, 3)
    assert not attack.marker.exists()
