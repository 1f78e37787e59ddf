"""Setting an environment to what an observation shows, so that a prediction can be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# (environment, its twin that plays the true episode, observation [O], action [A] in its units that is played now)
SetState = Callable[[Any, Any, Floats, Floats], None]


def state_setter(env: Any) -> SetState | None:
    """What sets environments such as `env` (a Gymnasium environment) to an observation; None where none is known.

    Known are Pendulum, MountainCarContinuous, and MuJoCo's whose observation begins with positions and velocities.
    """
    bare = env.unwrapped
    known = {"PendulumEnv": set_pendulum, "Continuous_MountainCarEnv": set_mountain_car}
    if type(bare).__name__ in known and type(bare).__module__.startswith("gymnasium.envs.classic_control"):
        return known[type(bare).__name__]
    structure = getattr(bare, "observation_structure", None)
    if not isinstance(structure, dict) or not {"qpos", "qvel"} <= set(structure):
        return None
    whole = structure.get("skipped_qpos", 0) + structure["qpos"] == bare.model.nq
    return set_mujoco if whole and structure["qvel"] == bare.model.nv else None


def set_pendulum(env: Any, twin: Any, obs: Floats, action: Floats) -> None:
    """obs [3] = (cos th, sin th, w). A prediction need not lie on the circle: its angle is what counts.

    Source: Gymnasium's Pendulum-v1.
    """
    cosine, sine, speed = map(float, obs)
    env.unwrapped.state = np.array([np.arctan2(sine, cosine), speed])
    env.unwrapped.last_u = float(action[0])  # drawn as an arrow


def set_mountain_car(env: Any, twin: Any, obs: Floats, action: Floats) -> None:
    """obs [2] = (position, velocity). Source: Gymnasium's MountainCarContinuous-v0."""
    env.unwrapped.state = np.asarray(obs, np.float32)


def set_mujoco(env: Any, twin: Any, obs: Floats, action: Floats) -> None:
    """obs [O] = (qpos without the root's place along the track, qvel, ...).

    Source: `observation_structure` of Gymnasium's MuJoCo environments.

    Nothing observed depends on that place, so a model says nothing of it: it is taken from the twin.
    """
    bare, structure = env.unwrapped, env.unwrapped.observation_structure
    seen, speeds = structure["qpos"], structure["qvel"]
    hidden = np.asarray(twin.unwrapped.data.qpos[: structure.get("skipped_qpos", 0)])
    values = np.asarray(obs, np.float64)
    bare.set_state(np.concatenate([hidden, values[:seen]]), values[seen : seen + speeds])
