"""Sound logs of three known systems, for planting faults into and for proving that nothing is found without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset

Doubles = NDArray[np.float64]
STEPS = 60


def double_integrator(seed: int = 0, episodes: int = 30, delay: int = 0) -> Dataset:
    """A mass pushed to the origin: obs (position, speed), reward of obs and action, time-outs after STEPS steps.

    With a `delay` the push of `delay` steps ago acts.
    """

    def step(state: Doubles, action: Doubles, rng: np.random.Generator) -> Doubles:
        position, speed = state
        return np.array([position + 0.1 * speed, 0.95 * speed + 0.3 * action[0] + 0.01 * rng.standard_normal()])

    def act(state: Doubles, rng: np.random.Generator) -> Doubles:
        return np.clip([-0.3 * state[0] - 0.4 * state[1] + 0.3 * rng.standard_normal()], -1, 1)

    return record(seed, episodes, lambda rng: rng.normal(0, 1, 2), act, step, delay=delay)


def pendulum(seed: int = 0, episodes: int = 30) -> Dataset:
    """Gymnasium's Pendulum under smooth random torques: obs (cos th, sin th, w), deterministic and strongly curved."""

    def step(state: Doubles, action: Doubles, rng: np.random.Generator) -> Doubles:
        angle, speed = np.arctan2(state[1], state[0]), state[2]
        speed = np.clip(speed + 0.05 * (15 * np.sin(angle) + 6 * action[0]), -8, 8)
        return np.array([np.cos(angle + 0.05 * speed), np.sin(angle + 0.05 * speed), speed])

    def start(rng: np.random.Generator) -> Doubles:
        angle = rng.uniform(-np.pi, np.pi)
        return np.array([np.cos(angle), np.sin(angle), rng.uniform(-1, 1)])

    def act(state: Doubles, rng: np.random.Generator) -> Doubles:
        return np.clip([0.3 * np.sign(state[2]) + 0.4 * rng.standard_normal()], -1, 1)

    return record(seed, episodes, start, act, step)


def falling_pole(seed: int = 0, episodes: int = 60) -> Dataset:
    """A pole (angle, speed, and a noisy drift) that ends truly when it tilts beyond 0.5 rad; two actions."""

    def step(state: Doubles, action: Doubles, rng: np.random.Generator) -> Doubles:
        angle, speed, drift = state
        speed = speed + 0.1 * (4 * np.sin(angle) + 2 * action[0] + drift)
        return np.array([angle + 0.1 * speed, speed, 0.9 * drift + 0.2 * action[1] + 0.1 * rng.standard_normal()])

    def act(state: Doubles, rng: np.random.Generator) -> Doubles:
        return np.clip([-2.5 * state[0] - state[1], 0.0] + 0.4 * rng.standard_normal(2), -1, 1)

    def fell(state: Doubles) -> bool:
        return bool(abs(state[0]) > 0.5)

    return record(seed, episodes, lambda rng: rng.normal(0, 0.1, 3), act, step, fell=fell)


def record(
    seed: int,
    episodes: int,
    start: Callable[[np.random.Generator], Doubles],
    act: Callable[[Doubles, np.random.Generator], Doubles],
    step: Callable[[Doubles, Doubles, np.random.Generator], Doubles],
    fell: Callable[[Doubles], bool] = lambda state: False,
    delay: int = 0,
) -> Dataset:
    """Play `episodes` of STEPS steps or until `fell`; the reward is -(|s|^2 + 0.1 |a|^2) before the step."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {key: [] for key in ("obs", "action", "reward", "next_obs", "terminated")}
    starts = []
    for _ in range(episodes):
        state, ended = start(rng), False
        starts.append(len(rows["obs"]))
        pushes: list[Doubles] = []
        while not ended and len(pushes) < STEPS:
            action = act(state, rng)
            pushes.append(action)
            applied = pushes[-1 - delay] if len(pushes) > delay else np.zeros_like(action)
            following = step(state, applied, rng)
            ended = fell(following)
            reward = -float(state @ state + 0.1 * action @ action)
            for key, value in zip(rows, (state, action, reward, following, ended), strict=True):
                rows[key].append(value)
            state = following
    terminated = np.array(rows.pop("terminated"))
    truncated = np.zeros(len(terminated), bool)
    ends = np.append(starts[1:], len(terminated)) - 1
    truncated[ends] = ~terminated[ends]
    arrays = {key: np.array(values, np.float32) for key, values in rows.items()}
    return Dataset(
        name="made",
        **arrays,
        terminated=terminated,
        truncated=truncated,
        starts=np.array(starts, np.int64),
        action_low=np.full(arrays["action"].shape[1], -1, np.float32),
        action_high=np.full(arrays["action"].shape[1], 1, np.float32),
        max_episode_steps=STEPS,
    )


def select(dataset: Dataset, columns: list[int]) -> Dataset:
    """The same log with only these columns observed."""
    return dataclasses.replace(dataset, obs=dataset.obs[:, columns], next_obs=dataset.next_obs[:, columns])


CLEAN = {"double integrator": double_integrator, "pendulum": pendulum, "falling pole": falling_pole}
