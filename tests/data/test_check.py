"""What `validate` refuses, and what it puts right."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import make_dataset

from orl.data.check import validate
from orl.errors import DataError


def changed(name: str, index: object, value: object) -> np.ndarray:
    array = getattr(make_dataset(), name).copy()
    array[index] = value
    return array


def test_a_sound_dataset_passes_unchanged() -> None:
    dataset = make_dataset()
    assert validate(dataset).fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("obs", (3, 1), np.nan, r"made: obs column 1 is nan at row 3 \(1 such values in obs\)"),
        ("next_obs", (slice(1, 3), 0), np.inf, r"next_obs column 0 is inf at row 1 \(2 such"),
        ("action", (4, 0), np.nan, "action column 0 is nan at row 4"),
        ("reward", 2, -np.inf, "reward is -inf at row 2"),
        ("terminated", 0, True, r"end flag inside episode 0, at its step 0 of 3 \(row 0\)"),
        ("truncated", 3, True, r"end flag inside episode 1, at its step 0 of 2 \(row 3\)"),
        ("starts", 0, 1, "episode starts must rise from 0"),
        ("starts", 1, 5, "episode starts must rise from 0 and stay below 5"),
        ("starts", 1, 0, "episode starts must rise"),
        ("action", (1, 0), 1.5, r"action column 0 is 1.5 at row 1, outside its bounds \[-1.0, 1.0\] \(1 such rows\)"),
        ("action_low", 0, 1.0, r"action dimension 0 is bounded by \[1.0, 1.0\]"),
        ("action_high", 0, np.inf, "action dimension 0 is bounded by"),
    ],
)
def test_faults_are_named_with_their_place(name: str, index: object, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate(make_dataset(**{name: changed(name, index, value)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": np.zeros(4, np.float32)}, "unlike lengths .*'reward': 4"),
        ({"action": np.zeros(5, np.float32)}, r"shapes .*expected \[N, O\]"),
        ({"next_obs": np.zeros((5, 3), np.float32)}, "shapes"),
        ({"obs": np.zeros((5, 0), np.float32), "next_obs": np.zeros((5, 0), np.float32)}, "have no columns"),
        ({"action_low": np.zeros(2, np.float32)}, r"bounds of shape \(2,\)"),
        ({"starts": np.zeros(0, np.int64)}, "episode starts"),
    ],
)
def test_wrong_shapes_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate(make_dataset(**changes))


def test_an_empty_dataset_is_refused() -> None:
    whole = make_dataset()
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    with pytest.raises(DataError, match="made: holds no steps"):
        validate(make_dataset(**{name: getattr(whole, name)[:0] for name in names}))


def test_rounding_beyond_the_bounds_is_clipped() -> None:
    dataset = validate(make_dataset(action=changed("action", (4, 0), 1 + 1e-5)))
    assert dataset.action.max() == 1.0
    with pytest.raises(DataError, match="outside its bounds"):
        validate(make_dataset(action=changed("action", (4, 0), 1 + 1e-4)))


def test_both_flags_may_stand_at_an_end() -> None:
    assert validate(make_dataset(truncated=changed("truncated", 2, True))).truncated[2]
