"""Stacks of the last observations and actions, by hand: order, episode borders, shifts, and acting along a log."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from made_logs import make_dataset

from orl.data.acting_history import ActingHistory
from orl.data.episodes import Dataset
from orl.data.history import first_stack, newest_of, shift_history, stacked_rows, with_history
from orl.types import Spec, Transition, stacked_size


def two_episodes(**changes: object) -> Dataset:
    """Rows 0-3 end truly, rows 4-6 by time-out; obs (10 t, 10 t + 1), actions t in [0, 8], t / 4 - 1 to the agent."""
    obs = 10.0 * np.arange(7, dtype=np.float32)[:, None] + np.arange(2, dtype=np.float32)
    after = obs + 10.0
    after[[3, 6]] = [[900, 901], [910, 911]]  # an episode's own last observation, no other row's
    content = {"obs": obs, "next_obs": after, "action": np.arange(7, dtype=np.float32)[:, None]}
    content |= {"action_low": np.zeros(1, np.float32), "action_high": np.full(1, 8, np.float32)}
    return make_dataset((4, 3), **(content | changes))


def test_the_newest_is_first_and_the_past_stays_inside_its_episode() -> None:
    """k = 2: [o_t, o_{t-1}, o_{t-2}, a_{t-1}, a_{t-2}]; before the beginning the first observation and actions of 0."""
    obs, after = stacked_rows(with_history(two_episodes(), 2), np.arange(7))
    assert obs.tolist() == [
        [0, 1, 0, 1, 0, 1, 0, 0],
        [10, 11, 0, 1, 0, 1, -1, 0],
        [20, 21, 10, 11, 0, 1, -0.75, -1],
        [30, 31, 20, 21, 10, 11, -0.5, -0.75],
        [40, 41, 40, 41, 40, 41, 0, 0],
        [50, 51, 40, 41, 40, 41, 0, 0],  # a_4 = 4 is 0 to the agent
        [60, 61, 50, 51, 40, 41, 0.25, 0],
    ]
    assert after.tolist() == [
        [10, 11, 0, 1, 0, 1, -1, 0],
        [20, 21, 10, 11, 0, 1, -0.75, -1],
        [30, 31, 20, 21, 10, 11, -0.5, -0.75],
        [900, 901, 30, 31, 20, 21, -0.25, -0.5],
        [50, 51, 40, 41, 40, 41, 0, 0],
        [60, 61, 50, 51, 40, 41, 0.25, 0],
        [910, 911, 60, 61, 50, 51, 0.5, 0.25],
    ]
    assert obs.dtype == after.dtype == np.float32


def test_a_history_longer_than_an_episode_repeats_its_first_observation() -> None:
    obs, _ = stacked_rows(with_history(two_episodes(), 5), np.array([6, 1]))
    assert obs[0].tolist() == [60, 61, 50, 51] + [40, 41] * 4 + [0.25, 0, 0, 0, 0]
    assert obs[1].tolist() == [10, 11] + [0, 1] * 5 + [-1, 0, 0, 0, 0]


def test_any_rows_in_any_order_are_those_of_all_rows() -> None:
    data = with_history(two_episodes(), 3)
    every = stacked_rows(data, np.arange(7))
    some = stacked_rows(data, np.array([5, 0, 3]))
    for one, all_of_them in zip(some, every, strict=True):
        np.testing.assert_array_equal(one, all_of_them[[5, 0, 3]])


def test_without_a_history_nothing_changes() -> None:
    data = two_episodes()
    assert with_history(data, 0) is data
    for stacked, own in zip(stacked_rows(data, np.arange(7)), (data.obs, data.next_obs), strict=True):
        np.testing.assert_array_equal(stacked, own)
    spec = data.spec
    assert (spec.obs_dim, spec.history, spec.stacked_dim) == (2, 0, 2)


def test_a_dataset_with_a_history_is_the_same_log() -> None:
    """Fingerprint, arrays and the size of one observation stay; only the stack's size differs."""
    data = two_episodes()
    past = with_history(data, 2)
    assert past.fingerprint == data.fingerprint
    assert dataclasses.replace(past, reward=past.reward + 1).fingerprint != data.fingerprint
    assert past.obs is data.obs
    assert (past.spec.obs_dim, past.spec.history, past.spec.stacked_dim) == (2, 2, 8)
    assert with_history(past, 2) is past
    assert with_history(past, 0).spec == data.spec
    assert stacked_size(3, 2, 4) == 5 * 3 + 4 * 2


@pytest.mark.parametrize("history", [0, 1, 2, 3])
def test_shifting_a_row_gives_the_next_one(history: int) -> None:
    """Inside an episode, row t shifted by a_t and o_{t+1} is row t + 1, bit for bit, and what next_obs says of it."""
    data = with_history(two_episodes(), history)
    obs, after = stacked_rows(data, np.arange(7))
    action = data.action / 4 - 1
    for xp in (np, jnp):
        for row in (0, 1, 2, 4, 5):
            shifted = shift_history(*(xp.asarray(x) for x in (obs[row], action[row], data.obs[row + 1])))
            np.testing.assert_array_equal(shifted, obs[row + 1])
            np.testing.assert_array_equal(shifted, after[row])
    np.testing.assert_array_equal(shift_history(obs, action, data.next_obs), after)  # and in batches


def test_sizes_that_are_no_stack_are_refused() -> None:
    for width in (1, 4, 6):
        with pytest.raises(ValueError, match=f"a stack of {width} numbers is none of 2 and actions of 1"):
            shift_history(np.zeros((3, width)), np.zeros((3, 1)), np.zeros((3, 2)))


def test_a_first_observation_has_been_there_for_ever() -> None:
    obs = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert first_stack(obs, 2, 1).tolist() == [[1, 2, 1, 2, 1, 2, 0, 0], [3, 4, 3, 4, 3, 4, 0, 0]]
    assert first_stack(jnp.asarray(obs), 1, 2).tolist() == [[1, 2, 1, 2, 0, 0], [3, 4, 3, 4, 0, 0]]
    assert first_stack(obs, 0, 1) is obs


def test_the_newest_of_transitions() -> None:
    rows = Transition(*map(jnp.asarray, ([[1.0, 2, 3]], [[4.0]], [5.0], [[6.0, 7, 8]], [0.0])))
    newest = newest_of(rows, 2)
    assert (newest.obs.tolist(), newest.next_obs.tolist()) == ([[1, 2]], [[6, 7]])
    assert (newest.action.tolist(), newest.reward.tolist()) == ([[4]], [5])


@pytest.mark.parametrize("history", [1, 2, 4])
def test_acting_along_a_log_makes_its_rows(history: int) -> None:
    """Both episodes side by side, the shorter one begun again: every stack is the dataset's row, bit for bit.

    Bounds and actions are such that the agent's units round.
    """
    rng = np.random.default_rng(0)
    low, high = np.array([-0.37], np.float32), np.array([1.93], np.float32)
    action = rng.uniform(low, high, (7, 1)).astype(np.float32)
    data = with_history(two_episodes(action=action, action_low=low, action_high=high), history)
    expected, _ = stacked_rows(data, np.arange(7))
    acting = ActingHistory(data.spec)
    for rows in ([0, 4], [1, 5], [2, 6], [3, 4]):
        if rows == [3, 4]:
            acting.reset([1])
        np.testing.assert_array_equal(acting.recall(data.obs[rows]), expected[rows])
        acting.remember(data.action[rows])
    acting.reset()
    np.testing.assert_array_equal(acting.recall(data.obs[[4, 0]]), expected[[4, 0]])


def test_a_batch_of_another_size_begins_anew() -> None:
    acting = ActingHistory(Spec(1, 1, (-1.0,), (1.0,), history=1))
    acting.reset([0])  # before anything was seen there is nothing to forget
    assert acting.recall(np.float32([[1.0]])).tolist() == [[1, 1, 0]]
    acting.remember(np.float32([[0.5]]))
    assert acting.recall(np.float32([[2.0], [3.0]])).tolist() == [[2, 2, 0], [3, 3, 0]]
    acting.remember(np.float32([[0.25], [-0.25]]))
    assert acting.recall(np.float32([[4.0], [5.0]])).tolist() == [[4, 2, 0.25], [5, 3, -0.25]]
