"""A log of a system that acts late, whose equation is known."""

from __future__ import annotations

import numpy as np

from orl.data.episodes import Dataset

NOISE, EFFECT, DECAY = 0.01, 0.5, 0.9


def late_system(episodes: int = 40, steps: int = 50, delay: int = 2) -> Dataset:
    """o' = DECAY o + EFFECT a_{t - delay} + NOISE, actions random: what they did shows `delay` steps later."""
    rng = np.random.default_rng(0)
    action = rng.uniform(-1, 1, (episodes, steps, 1)).astype(np.float32)
    obs = np.zeros((episodes, steps + 1, 1), np.float32)
    obs[:, 0] = rng.normal(size=(episodes, 1))
    for t in range(steps):
        push = action[:, t - delay] if t >= delay else 0.0
        obs[:, t + 1] = DECAY * obs[:, t] + EFFECT * push + NOISE * rng.standard_normal((episodes, 1))
    flat, ends = (lambda x: x.reshape(-1, 1)), np.zeros((episodes, steps), bool)
    ends[:, -1] = True
    return Dataset(
        name="late",
        obs=flat(obs[:, :-1]),
        action=flat(action),
        reward=-flat(obs[:, :-1] ** 2)[:, 0],
        next_obs=flat(obs[:, 1:]),
        terminated=np.zeros(episodes * steps, bool),
        truncated=ends.reshape(-1),
        starts=np.arange(episodes) * steps,
        action_low=np.float32([-1]),
        action_high=np.float32([1]),
    )
