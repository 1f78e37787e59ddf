"""The behaviour's own return, completed where its episodes were cut."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.evaluation.ope.baseline import behaviour_returns, next_actions, tail_weight
from orl.evaluation.ope.fqe import FqeConfig
from orl.evaluation.ope.types import LoggedEpisodes, logged_episodes
from orl.types import Transition

TINY = FqeConfig(hidden=(), layer_norm=False, members=2, updates=1500, batch_size=64, learning_rate=3e-2)


def constant_log(lengths: list[int], ends: list[bool], reward: float = 1.0) -> LoggedEpisodes:
    """Episodes in which nothing changes and every step pays the same."""
    rows, starts = sum(lengths), np.cumsum([0, *lengths[:-1]])
    terminated = np.zeros(rows, np.float32)
    terminated[np.cumsum(lengths) - 1] = ends
    same = jnp.ones((rows, 1))
    action = jnp.arange(rows, dtype=jnp.float32)[:, None] / rows
    return logged_episodes(Transition(same, action, jnp.full(rows, reward), same, jnp.asarray(terminated)), starts)


def test_the_tail_is_what_follows_the_shortest_cut_episode() -> None:
    """Lengths 3 and 2 cut, 1 ended: 0.5^2; nothing where all ended."""
    assert tail_weight(constant_log([3, 2, 1], [False, False, True]), 0.5) == 0.25
    assert tail_weight(constant_log([3, 2], [True, True]), 0.5) == 0.0


def test_next_actions_are_the_following_rows_but_at_an_episodes_end() -> None:
    log = constant_log([3, 2], [False, True])
    found = next_actions(log, jnp.asarray([[7.0], [8.0]]))
    np.testing.assert_allclose(found[:, 0], [0.2, 0.4, 7.0, 0.8, 8.0], rtol=1e-6)


def test_ended_episodes_are_what_they_are() -> None:
    """1 + 0.9 + 0.81 and 1: no fit is needed."""
    log = constant_log([3, 1], [True, True])
    found = behaviour_returns(TINY, log, jnp.zeros((2, 1)), 0.9, jax.random.key(0), folds=2, seed=0)
    np.testing.assert_allclose(found, [[2.71, 1.0]])


def test_cut_episodes_are_worth_what_would_have_followed() -> None:
    """A reward of 1 for ever at discount 0.9 is worth 10, wherever the log was cut."""
    log = constant_log([4, 8, 5, 6], [False] * 4)
    found = behaviour_returns(TINY, log, jnp.full((4, 1), 0.5), 0.9, jax.random.key(0), folds=2, seed=0)
    assert found.shape == (2, 4)
    assert found == pytest.approx(np.full((2, 4), 10.0), abs=0.3)
    bare = log.returns(0.9)
    assert bare[0] == pytest.approx(3.439)
