"""Whole episodes on one side or the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_logs import make_dataset

from orl.data.split import split_by_episode
from orl.errors import DataError, UsageError


@given(
    lengths=st.lists(st.integers(1, 30), min_size=2, max_size=20),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
    max_rows=st.none() | st.integers(1, 50),
)
def test_sides_are_disjoint_whole_and_never_empty(lengths, fraction, seed, max_rows) -> None:
    data = make_dataset(tuple(lengths))
    split = split_by_episode(data, fraction, seed, max_rows)
    assert sorted([*split.train_rows, *split.holdout_rows]) == list(range(len(data)))
    assert sorted([*split.train_episodes, *split.holdout_episodes]) == list(range(len(lengths)))
    assert set(data.episode_of_row[split.train_rows]) == set(split.train_episodes)
    assert set(data.episode_of_row[split.holdout_rows]) == set(split.holdout_episodes)
    assert len(split.train_episodes) >= 1
    assert len(split.holdout_episodes) >= 1
    if max_rows is not None:
        assert len(split.holdout_rows) <= max(max_rows, min(lengths))
    assert all(part.dtype == np.int64 for part in split)


def test_the_fraction_is_met_and_the_seed_decides() -> None:
    data = make_dataset((10,) * 50)
    first, again, other = (split_by_episode(data, 0.2, seed) for seed in (3, 3, 4))
    assert len(first.holdout_rows) == 100
    assert first.holdout_episodes.tolist() == again.holdout_episodes.tolist()
    assert first.holdout_episodes.tolist() != other.holdout_episodes.tolist()
    assert len(split_by_episode(data, 0.2, 3, max_rows=35).holdout_rows) == 30


def test_the_shortest_episode_is_held_out_where_none_fits() -> None:
    for seed in range(5):
        assert split_by_episode(make_dataset((100, 90, 80)), 0.1, seed).holdout_episodes.tolist() == [2]
    assert split_by_episode(make_dataset((100, 5)), 0.5, 0, max_rows=1).holdout_episodes.tolist() == [1]


def test_a_single_episode_is_split_in_time() -> None:
    data = make_dataset((10,))
    split = split_by_episode(data, 0.2, 0)
    assert (split.train_rows.tolist(), split.holdout_rows.tolist()) == (list(range(8)), [8, 9])
    assert split.train_episodes.tolist() == split.holdout_episodes.tolist() == [0]
    assert split_by_episode(data, 0.9, 0, max_rows=3).holdout_rows.tolist() == [7, 8, 9]
    assert split_by_episode(data, 0.01, 0).holdout_rows.tolist() == [9]
    with pytest.raises(DataError, match="one step in all"):
        split_by_episode(make_dataset((1,)), 0.2, 0)


@pytest.mark.parametrize(("fraction", "max_rows"), [(0.0, None), (1.0, None), (float("nan"), None), (0.2, 0)])
def test_senseless_settings_are_refused(fraction: float, max_rows: int | None) -> None:
    with pytest.raises(UsageError):
        split_by_episode(make_dataset(), fraction, 0, max_rows)
