"""Where a diagnosis begins its predictions, and the episodes it rolls policies from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orl.data.episodes import Dataset
from orl.errors import UsageError
from orl.runs.diagnosis_data import Evidence, starts_of
from orl.runs.diagnosis_policy import episodes_of
from orl.runs.loading import transitions
from orl.runs.stretches import stretch_ends


def log(lengths: list[int], ended: list[bool]) -> Dataset:
    """Episodes of these lengths that end or are cut off; a row's observation is its number."""
    rows, last = sum(lengths), np.cumsum(lengths) - 1
    obs = np.arange(rows, dtype=np.float32)[:, None]
    terminated, truncated = np.zeros((2, rows), bool)
    terminated[last], truncated[last] = ended, ~np.asarray(ended)
    bound = np.ones(1, np.float32)
    starts = np.append(0, last[:-1] + 1).astype(np.int64)
    return Dataset("made", obs, 0 * obs, obs[:, 0], obs + 1, terminated, truncated, starts, -bound, bound)


def evidence_of(data: Dataset) -> Evidence:
    """All of the log on the held-out side."""
    rows = np.arange(len(data))
    first, last = stretch_ends(data, rows)
    stretch = data.episode_of_row
    all_rows: Any = transitions(data, rows)
    return Evidence(data, all_rows, rows % 5, all_rows, rows, first[stretch], last[stretch], rows, np.ones(1))


def test_starts_reach_as_far_as_their_episodes() -> None:
    """Episodes of 3 and 2 rows, four steps asked for: three is the farthest; what lies past an end is marked."""
    starts = starts_of(evidence_of(log([3, 2], [False, False])), steps=4, most=10)
    np.testing.assert_array_equal(starts.rows, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(starts.inside, [[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(starts.ahead, [[0, 1, 2], [1, 2, 2], [2, 2, 2], [3, 4, 4], [4, 4, 4]])


def test_starts_have_their_context_and_are_spread_evenly() -> None:
    data = evidence_of(log([8, 3, 4], [False] * 3))
    np.testing.assert_array_equal(starts_of(data, 1, 10, context=3).rows, [3, 4, 5, 6, 7, 14])
    np.testing.assert_array_equal(starts_of(data, 1, 3, context=3).rows, [3, 5, 14])
    with pytest.raises(UsageError, match="no held-out episode has the 9 steps"):
        starts_of(data, 1, 10, context=8)


def test_a_rollout_lasts_as_long_as_its_episode_was_logged_and_longer_where_it_truly_ended() -> None:
    """Episodes of 3 (cut), 2 (ended) and 5 (cut) steps: 3, 5 and 5; or 4 where the discount leaves nothing beyond."""
    data = evidence_of(log([3, 2, 5], [False, True, False]))
    found = episodes_of(data, 0.99)
    np.testing.assert_array_equal(found.start[:4, 0], [0, 3, 5, 0])
    np.testing.assert_array_equal(found.limit[:4], [3, 5, 5, 3])
    assert (found.horizon, len(found.start)) == (5, 256)
    short = episodes_of(data, 0.2)  # 0.2^5 < 0.001, 0.2^4 is not
    np.testing.assert_array_equal(short.limit[:3], [3, 5, 5])
    np.testing.assert_array_equal(episodes_of(data, 0.1).limit[:3], [3, 3, 3])
