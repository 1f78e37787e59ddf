"""A policy's rollouts in a model, and the behaviour's in a log, on chains that can be summed by hand."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from orl.evaluation.diagnosis.policy_rollouts import behaviour_sums, outside_by_step, outside_share, policy_visits
from orl.types import Array, Step


def line(params: float, key: Array, obs: Array, action: Array) -> Step:
    """A walk by the action; u is `params` times the state, the reward the state itself; past 10 it ends."""
    after = obs + action
    return Step(after, obs[:, 0], after[:, 0] > 10, params * obs[:, 0])


def act(params: float, key: Array | None, obs: Array) -> Array:
    """Its mode goes `params` to the right; with a key it would go nowhere."""
    return jnp.full((len(obs), 1), params if key is None else 0.0)


def test_a_policys_sums_end_with_its_limit_or_the_models_end() -> None:
    """Steps of 2 from 1, 1 and 7 for at most 3, 1 and 3 steps: 1, 3, 5; 1; 7, 9 (11 ends)."""
    start = np.asarray([[1.0], [1.0], [7.0]], np.float32)
    found = policy_visits(line, act, 3.0, 2.0, start, np.asarray([3, 1, 3]), 3, 0.5)
    np.testing.assert_allclose(found.value, [1 + 1.5 + 1.25, 1.0, 7 + 4.5])
    np.testing.assert_allclose(found.uncertainty, 3 * found.value)
    np.testing.assert_array_equal(found.alive, [[1, 1, 1], [1, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(found.obs[:, 0, 0], [1, 3, 5])
    np.testing.assert_allclose(found.action[:, 0, 0], 2.0)


def test_the_behaviours_sums_are_per_stretch() -> None:
    """1 + 2/2 + 4/4 and 8 + 16/2."""
    first, last = np.asarray([0, 0, 0, 3, 3]), np.asarray([2, 2, 2, 4, 4])
    np.testing.assert_allclose(behaviour_sums(np.asarray([1.0, 2, 4, 8, 16]), first, last, 0.5), [3.0, 16.0])


def test_shares_outside_by_doubling_steps() -> None:
    """Steps 1; 2 and 3; 4 to 6, the last there is. What is no number lies outside, the threshold itself inside."""
    step = np.asarray([1, 1, 2, 3, 3, 4, 6])
    distance = np.asarray([0.1, 2.0, 0.5, 1.0, np.nan, np.inf, 0.2])
    assert outside_share(distance, 1.0) == 3 / 7
    found = outside_by_step(step, distance, 1.0)
    assert [each[:3] for each in found] == [(1, 1, 2), (2, 3, 3), (4, 6, 2)]
    np.testing.assert_allclose([each.outside for each in found], [1 / 2, 1 / 3, 1 / 2])
