"""Logged episodes: sums, padding and cut ends, on two episodes worked by hand."""

from __future__ import annotations

import numpy as np

from orl.evaluation.ope.types import Estimate, LoggedEpisodes, logged_episodes
from orl.types import Transition


def two_episodes() -> LoggedEpisodes:
    """Rewards 1 2 4 | 8 16: the first ends, the second is cut off."""
    zeros = np.zeros((5, 1), np.float32)
    reward, terminated = np.asarray([1, 2, 4, 8, 16], np.float32), np.asarray([0, 0, 1, 0, 0], np.float32)
    return logged_episodes(Transition(zeros, zeros, reward, zeros, terminated), np.asarray([0, 3]))  # type: ignore[arg-type]


def test_what_an_episode_is() -> None:
    episodes = two_episodes()
    assert len(episodes) == 2
    np.testing.assert_array_equal(episodes.cut, [False, True])
    np.testing.assert_array_equal(episodes.lengths, [3, 2])
    np.testing.assert_array_equal(episodes.last, [2, 4])
    np.testing.assert_array_equal(episodes.of_row, [0, 0, 0, 1, 1])


def test_returns_by_hand() -> None:
    """With discount 1/2: 1 + 1 + 1 and 8 + 8; 100 beyond the cut adds 1/4 of it, beyond the end nothing."""
    episodes = two_episodes()
    np.testing.assert_allclose(episodes.returns(0.5), [3, 16])
    np.testing.assert_allclose(episodes.returns(0.5, np.asarray([100.0, 100.0])), [3, 16 + 25])
    np.testing.assert_allclose(episodes.returns_to_go(0.5, 100.0), [3, 4, 4, 16 + 25, 16 + 50])
    np.testing.assert_array_equal(episodes.reward, [1, 2, 4, 8, 16])  # completing leaves the log as it was


def test_by_step_lays_episodes_side_by_side() -> None:
    episodes = two_episodes()
    rows = np.asarray([1.0, 2, 4, 8, 16])
    np.testing.assert_array_equal(episodes.by_step(rows), [[1, 2, 4], [8, 16, 0]])
    np.testing.assert_array_equal(episodes.by_step(np.stack([rows, -rows]))[1], [[-1, -2, -4], [-8, -16, 0]])


def test_an_estimate_compares_without_its_draws() -> None:
    first, second = (Estimate("fqe", 1.0, 0.0, 2.0, draws=np.full(3, x)) for x in (0.0, 1.0))
    assert first == second
    assert first != Estimate("fqe", 1.0, 0.0, 2.5)
