"""What a log's environment may ask for: each way of running code by a spec, refused before anything is imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from orl.errors import DataError, UsageError
from orl.evaluation.episodes import EnvSpec, make_envs
from orl.evaluation.recorded_env import recorded_env

PENDULUM = gymnasium.spec("Pendulum-v1").to_json()


def recorded(**changes: Any) -> dict[str, Any]:
    """The entries of a log recorded in Pendulum-v1, its spec changed."""
    spec = json.loads(PENDULUM) | changes
    limit = spec["max_episode_steps"]
    return {
        "env_id": spec["id"], "env_kwargs": spec["kwargs"], "max_episode_steps": limit, "env_spec": json.dumps(spec)
    }  # fmt: skip


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write the module `name`, which leaves a marker when it is imported; returns the marker."""

    def write(name: str) -> Path:
        marker = tmp_path / f"{name}-ran"
        text = f"""
            open({str(marker)!r}, "w").close()
            import gymnasium
            from gymnasium.envs.classic_control.pendulum import PendulumEnv

            class Env(PendulumEnv):
                pass

            class Wrapper(gymnasium.Wrapper):
                def __init__(self, env, bonus):
                    super().__init__(env)
                    self.bonus = bonus

            gymnasium.register("Evil-v0", entry_point=Env, max_episode_steps=4)
        """
        (tmp_path / f"{name}.py").write_text(text.replace(" " * 12, ""))
        return marker

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    gymnasium.registry.pop("Evil-v0", None)


def test_what_gymnasium_recorded_itself_is_used() -> None:
    assert recorded_env(recorded()) == EnvSpec("Pendulum-v1", {}, 200)
    assert recorded_env(recorded(kwargs={"g": 9.81}, max_episode_steps=7)) == EnvSpec("Pendulum-v1", {"g": 9.81}, 7)
    # a class that another version of the package keeps in another module
    moved = recorded(entry_point="gymnasium.envs.classic_control:PendulumEnv")
    assert recorded_env(moved) == EnvSpec("Pendulum-v1", {}, 200)
    assert recorded_env({"env_id": None}) is None


def test_a_run_of_before_specs_were_kept_is_read() -> None:
    old = {"env_id": "Pendulum-v1", "env_kwargs": {"g": 1.0}, "max_episode_steps": 200}
    assert recorded_env(old) == EnvSpec("Pendulum-v1", {"g": 1.0}, 200)


@pytest.mark.parametrize(
    ("name", "changes", "asked"),
    [
        ("evil_entry", {"entry_point": "evil_entry:Env"}, "the entry point 'evil_entry:Env'"),
        ("evil_id", {"id": "evil_id:Evil-v0", "entry_point": None}, "the id 'evil_id:Evil-v0'"),
        (
            "evil_wrapper",
            {"additional_wrappers": [{"name": "W", "entry_point": "evil_wrapper:Wrapper", "kwargs": {"bonus": 2}}]},
            "the wrapper 'evil_wrapper:Wrapper'",
        ),
    ],
)
def test_code_is_refused_by_name_and_runs_only_when_trusted(
    name: str, changes: dict[str, Any], asked: str, evil: Callable[[str], Path]
) -> None:
    marker = evil(name)
    with pytest.raises(DataError) as refusal:
        recorded_env(recorded(**changes))
    assert str(refusal.value).count("\n") == 0
    assert asked in str(refusal.value)
    assert "is refused without --trust-env" in str(refusal.value)
    assert not marker.exists()
    env = recorded_env(recorded(**changes), trusted=True)
    assert not marker.exists()  # judged, not made
    assert env is not None
    envs = make_envs(env, 2)
    try:
        assert marker.exists()
        assert envs.single_action_space.shape == (1,)
        if name == "evil_wrapper":
            assert envs.envs[0].get_wrapper_attr("bonus") == 2
    finally:
        envs.close()


def test_the_command_in_an_entry_point_is_not_called(tmp_path: Path) -> None:
    """Gymnasium calls an entry point before it looks at what came back, so this would run the command."""
    marker = tmp_path / "ran"
    attack = recorded(entry_point="subprocess:Popen", kwargs={"args": ["touch", str(marker)]})
    with pytest.raises(DataError, match=r"the entry point 'subprocess:Popen', the setting args = \['touch', "):
        recorded_env(attack)
    assert not marker.exists()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"xml_file": "/etc/passwd"}, {"xml_file": "../model.xml"}, {"maker": "os:system"}, {"maker": "os.system"},
        {"tasks": [{"file": "a/b"}]}, {"deep": [[[[[[[[1]]]]]]]]},
    ],
)  # fmt: skip
def test_settings_that_may_name_files_or_modules_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"the setting {next(iter(kwargs))} = .*--trust-env"):
        recorded_env(recorded(kwargs=kwargs))


def test_plain_settings_of_real_logs_are_used() -> None:
    kwargs = {"maze_map": [[1, "r", 0], [1, "g", 1]], "reward_type": "sparse", "tasks": ["slide cabinet"], "mode": None}
    env = recorded_env(recorded(kwargs=kwargs))
    assert env is not None
    assert (env.kwargs, env.code) == (kwargs, None)


def test_environments_that_forward_to_others_are_refused() -> None:
    spec = recorded(id="GymV26Environment-v0", entry_point=None, kwargs={"env_id": "Other-v0"})
    with pytest.raises(DataError, match="the id 'GymV26Environment-v0'"):
        recorded_env(spec)


def test_another_class_behind_a_known_id_is_refused() -> None:
    with pytest.raises(DataError, match=r"the entry point 'gymnasium.*acrobot:AcrobotEnv'"):
        recorded_env(recorded(entry_point="gymnasium.envs.classic_control.acrobot:AcrobotEnv"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "../../x y"}, "is no id of Gymnasium"),
        ({"env_id": "a\x1b[2J"}, r"'a\\x1b\[2J', which is no id"),
        ({"env_id": ["Pendulum-v1"]}, "is no id of Gymnasium"),
        ({"env_kwargs": [1]}, "damaged: .1., 200"),
        ({"max_episode_steps": "7"}, "damaged"),
    ],
)
def test_damaged_entries_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        recorded_env(recorded() | changes)


def test_a_spec_with_wrappers_and_no_entry_point_cannot_be_made() -> None:
    wrapper = {"name": "W", "entry_point": "gymnasium.wrappers:ClipAction", "kwargs": {}}
    env = recorded_env(recorded(entry_point=None, additional_wrappers=[wrapper]), trusted=True)
    assert env is not None
    with pytest.raises(UsageError, match="wrappers but no entry point"):
        make_envs(env, 1)
