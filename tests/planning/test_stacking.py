"""Planners in a model that sees the past: the stack they start from, step by step as a policy has it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.acting_history import ActingHistory
from orl.planning.base import History, Plan, Trajectory
from orl.planning.receding import Planner
from orl.planning.stacking import over_history, stacked_now
from orl.types import Array, Spec

H = 2


def remembered(length: list[int]) -> History:
    """Three past transitions of two episodes, obs 10 t + episode and action t / 10, of which `length` are real."""
    t = jnp.arange(3.0)[None, :, None] + jnp.zeros((2, 1, 1))
    obs = 10 * t + jnp.arange(2.0)[:, None, None]
    now = jnp.asarray([[30.0], [31.0]])
    return History(obs, t / 10, t[..., 0], now, jnp.asarray(length), jnp.zeros((2, H, 1)))


def test_stacks_are_made_of_what_is_remembered() -> None:
    """The latest transition is the last one; what is padding is the earliest real observation, and actions of 0."""
    np.testing.assert_allclose(stacked_now(remembered([3, 2]), 2), [[30, 20, 10, 0.2, 0.1], [31, 21, 11, 0.2, 0.1]])
    np.testing.assert_allclose(stacked_now(remembered([1, 0]), 2), [[30, 20, 20, 0.2, 0], [31, 31, 31, 0, 0]])
    np.testing.assert_allclose(
        stacked_now(remembered([3, 2]), 3), [[30, 20, 10, 0, 0.2, 0.1, 0], [31, 21, 11, 11, 0.2, 0.1, 0]]
    )
    with pytest.raises(ValueError, match="needs as many remembered, not 3"):
        stacked_now(remembered([3, 3]), 4)


def echo(params: None, keys: Array, history: History) -> Plan:
    """A plan whose value is the state it starts from and whose observations are that state; actions go down with it."""
    now = history.now
    action = -0.1 * now[:, :1, None] * jnp.asarray([1.0, 0.5])[None, :, None]
    obs = jnp.broadcast_to(now[:, None], (len(now), H, now.shape[1]))
    return Plan(action[:, 0], Trajectory(obs, action, action[..., 0], action[..., 0]), now)


def test_a_planner_that_acts_starts_from_the_stacks_of_a_policy() -> None:
    """Five steps of two episodes, one begun again: the same stacks as `ActingHistory` makes of the actions played."""
    spec = Spec(1, 1, (-2.0,), (6.0,), history=2)
    acting = Planner(over_history(echo, 2), None, spec, context=2, horizon=H)
    past = ActingHistory(spec)
    for step, obs in enumerate(np.float32([[[1], [2]], [[3], [4]], [[5], [6]], [[7], [8]], [[-9], [-5]]])):
        if step == 3:
            acting.reset([1])
            past.reset([1])
        action = acting(obs)
        assert acting.last is not None
        np.testing.assert_allclose(acting.last.value, past.recall(obs), atol=1e-6)
        past.remember(action)
        assert acting.last.trajectory.obs.shape == (2, H, 1)
        np.testing.assert_array_equal(acting.last.trajectory.obs[:, 0], obs)
    assert acting.last.value.shape == (2, 5)


def test_without_a_history_it_is_the_planner_itself() -> None:
    assert over_history(echo, 0) is echo
    assert jax.tree.leaves(over_history(echo, 1)(None, None, remembered([1, 1])).trajectory.obs)[0].shape == (2, H, 1)
