"""The dataset itself, the border of actions, and the normaliser."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_logs import make_dataset

from orl.data.border import to_agent_action, to_env_action
from orl.data.episodes import Reference
from orl.data.normalise import fit_normaliser, identity_normaliser


def test_derived_columns() -> None:
    data = make_dataset((3, 2))
    assert len(data) == 5
    assert data.lengths.tolist() == [3, 2]
    assert data.episode_of_row.tolist() == [0, 0, 0, 1, 1]
    assert data.returns.tolist() == [3, 7]
    assert data.spec == (data.spec.__class__)(2, 1, (-1.0,), (1.0,))


@pytest.mark.parametrize("name", ["obs", "action", "reward", "next_obs", "terminated", "truncated", "action_high"])
def test_the_fingerprint_follows_the_content_and_not_the_name(name: str) -> None:
    data = make_dataset()
    assert dataclasses.replace(data, name="other").fingerprint == data.fingerprint
    other = getattr(data, name).copy()
    other[0] = ~other[0] if other.dtype == bool else other[0] + 1
    assert dataclasses.replace(data, **{name: other}).fingerprint != data.fingerprint


def test_scores_are_affine_in_the_return() -> None:
    np.testing.assert_allclose(Reference(-10, 30, "x").score([-10, 10, 30, 50]), [0, 50, 100, 150])


@given(low=st.floats(-50, 49), width=st.floats(0.01, 100), action=st.floats(-1, 1))
def test_the_border_is_crossed_both_ways(low: float, width: float, action: float) -> None:
    high = low + width
    there = to_env_action(action, low, high)
    assert low - 1e-9 <= there <= high + 1e-9
    assert to_agent_action(there, low, high) == pytest.approx(action, abs=1e-6)


def test_the_border_maps_ends_to_ends() -> None:
    low, high = np.array([-2.0, 0.0]), np.array([2.0, 10.0])
    assert to_env_action(np.array([[-1.0, -1], [1, 1], [0, 0]]), low, high).tolist() == [[-2, 0], [2, 10], [0, 5]]
    assert to_agent_action(np.array([1.0, 7.5]), low, high).tolist() == [0.5, 0.5]


def test_the_normaliser_standardises_and_inverts() -> None:
    rows = np.random.default_rng(0).normal([3, -200], [0.1, 40], (500, 2)).astype(np.float32)
    fitted = fit_normaliser(rows)
    standard = np.asarray(fitted.apply(rows))
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(np.asarray(fitted.invert(standard)), rows, rtol=1e-4)


def test_constant_columns_map_to_zero_and_do_not_blow_up() -> None:
    # 0.1 is not a float32, so a float32 mean of it leaves a tiny spread.
    rows = np.stack([np.full(1000, 0.1), np.full(1000, 1e6), np.zeros(1000), np.arange(1000)], axis=1)
    fitted = fit_normaliser(rows.astype(np.float32))
    assert np.asarray(fitted.std[:3]).tolist() == [1, 1, 1]
    np.testing.assert_allclose(np.asarray(fitted.apply(rows))[:, :3], 0, atol=1e-6)
    assert float(fitted.std[3]) == pytest.approx(288.675, abs=0.01)


def test_the_identity_changes_nothing() -> None:
    assert np.asarray(identity_normaliser(2).apply(np.array([1.0, -5.0]))).tolist() == [1, -5]
