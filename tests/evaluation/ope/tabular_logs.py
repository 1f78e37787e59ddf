"""Logs of tabular MDPs, with exact values to judge estimators by.

Observations are one-hot states. An action is the one-hot PAIR (state, action), so that a linear function of it is a
table: fitted Q evaluation without hidden layers then has the exact Q as its fixed point.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from orl.evaluation.ope.types import LoggedEpisodes, logged_episodes
from orl.types import Array, Params, Transition


class Mdp(NamedTuple):
    """transition [S, A, S], mean reward [S, A], noise (std of rewards), chance to end [S, A], start [S]."""

    transition: np.ndarray
    reward: np.ndarray
    noise: float
    ends: np.ndarray
    start: np.ndarray


class Tables(NamedTuple):
    """A log by its indices, [N] each: state, action, next state, and the step within the episode."""

    state: np.ndarray
    action: np.ndarray
    after: np.ndarray
    step: np.ndarray


def random_mdp(seed: int, states: int = 4, actions: int = 2, *, ends: float = 0.05, noise: float = 0.3) -> Mdp:
    """Dirichlet transitions and uniform rewards; the first pair of states alone can end, with probability `ends`."""
    rng = np.random.default_rng(seed)
    chance = np.zeros((states, actions))
    chance[: states // 2] = ends
    transition = rng.dirichlet(np.ones(states), size=(states, actions))
    return Mdp(transition, rng.uniform(-1, 1, (states, actions)), noise, chance, rng.dirichlet(np.ones(states)))


def exact_q(mdp: Mdp, policy: np.ndarray, discount: float) -> np.ndarray:
    """[S, A] by a linear solve; policy [S, A]."""
    states, actions = mdp.reward.shape
    onward = (1 - mdp.ends)[..., None, None] * mdp.transition[..., None] * policy[None, None]  # [S, A, S, A]
    size = states * actions
    return np.linalg.solve(np.eye(size) - discount * onward.reshape(size, size), mdp.reward.ravel()).reshape(
        states, actions
    )


def exact_value(mdp: Mdp, policy: np.ndarray, discount: float) -> float:
    """From the start distribution on."""
    return float(mdp.start @ np.sum(policy * exact_q(mdp, policy, discount), axis=1))


def sample_log(mdp: Mdp, policy: np.ndarray, episodes: int, steps: int, seed: int) -> tuple[LoggedEpisodes, Tables]:
    """Episodes of the policy, cut off after `steps` steps where they have not ended before."""
    rng = np.random.default_rng(seed)
    state = rng.choice(len(mdp.start), size=episodes, p=mdp.start)
    alive, columns = np.ones(episodes, bool), []
    for _ in range(steps):
        action = _draw(rng, policy[state])
        after = _draw(rng, mdp.transition[state, action])
        reward = mdp.reward[state, action] + mdp.noise * rng.standard_normal(episodes)
        ended = rng.random(episodes) < mdp.ends[state, action]
        columns.append((state, action, after, reward, ended, alive))
        state, alive = after, alive & ~ended
    s, a, t, r, d, live = (np.stack(x, axis=1) for x in zip(*columns, strict=True))  # [E, T]
    step = np.broadcast_to(np.arange(steps), live.shape)
    starts = np.concatenate([[0], np.cumsum(live.sum(axis=1))[:-1]]).astype(np.int64)
    found = Tables(s[live], a[live], t[live], step[live])
    return _episodes(mdp, found, r[live], d[live], starts), found


def table_act(params: Params, key: Array | None, obs: Array) -> Array:
    """The mode of a tabular policy [S, A] in one-hot observations, as the one-hot pair."""
    policy = jnp.asarray(params)
    state = jnp.argmax(obs, axis=-1)
    return jax.nn.one_hot(state * policy.shape[1] + jnp.argmax(policy, axis=1)[state], policy.size)


def _draw(rng: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    """One index a row of probability [n, K]."""
    return np.minimum(
        (rng.random((len(probability), 1)) > np.cumsum(probability, axis=1)).sum(axis=1), probability.shape[1] - 1
    )


def all_trajectories(mdp: Mdp, behaviour: np.ndarray, steps: int) -> tuple[LoggedEpisodes, Tables, np.ndarray]:
    """Every episode of at most `steps` steps that can be, and its probability [E]; pairs end surely or never."""
    states, actions = mdp.reward.shape
    grown: list[tuple[list[tuple[int, int, int]], float, int, bool]] = [
        ([], float(mdp.start[s]), s, False) for s in range(states)
    ]
    for _ in range(steps):
        longer = []
        for path, chance, s, over in grown:
            if over:
                longer.append((path, chance, s, True))
                continue
            for a in range(actions):
                for t in range(states):
                    p = chance * behaviour[s, a] * mdp.transition[s, a, t]
                    longer.append(([*path, (s, a, t)], p, t, bool(mdp.ends[s, a])))
        grown = longer
    state, action, after = np.asarray([row for path, *_ in grown for row in path]).T
    lengths = np.asarray([len(path) for path, *_ in grown])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    step = np.concatenate([np.arange(length) for length in lengths])
    tables = Tables(state, action, after, step)
    return (
        _episodes(mdp, tables, mdp.reward[state, action], mdp.ends[state, action], starts),
        tables,
        np.asarray([chance for _, chance, *_ in grown]),
    )


def _episodes(mdp: Mdp, found: Tables, reward: np.ndarray, ended: np.ndarray, starts: np.ndarray) -> LoggedEpisodes:
    states, actions = mdp.reward.shape
    rows = Transition(
        np.eye(states, dtype=np.float32)[found.state],
        np.eye(states * actions, dtype=np.float32)[found.state * actions + found.action],
        reward.astype(np.float32),
        np.eye(states, dtype=np.float32)[found.after],
        ended.astype(np.float32),
    )
    return logged_episodes(rows, starts)  # type: ignore[arg-type]
