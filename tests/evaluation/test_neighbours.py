"""Distances to the nearest training row, and admissibility by them."""

from __future__ import annotations

import numpy as np
import pytest

from orl.evaluation.diagnosis.neighbours import QUERIES, DistanceBin, by_distance, nearest_distance


@pytest.mark.parametrize("queries", [1, QUERIES, 2 * QUERIES + 3])
def test_nearest_distances_are_those_of_a_brute_force(queries: int) -> None:
    """In float64, all pairs; with a number of queries that fills no chunk as well."""
    rng = np.random.default_rng(queries)
    train, query = rng.normal(size=(300, 5)), rng.normal(size=(queries, 5))
    expected = np.sqrt(((query[:, None] - train[None]) ** 2).sum(axis=-1)).min(axis=1)
    np.testing.assert_allclose(nearest_distance(train, query), expected, rtol=1e-5)


def test_distances_far_from_the_origin_do_not_cancel() -> None:
    """A copy is at 0 and a neighbour at 0.01 exactly, where float32 squares of 1000 are known to 0.06 only."""
    train = np.asarray([[1000.0, 1000.0], [1000.5, 1000.0]])
    query = np.asarray([[1000.0, 1000.0], [1000.5, 1000.03125]])
    np.testing.assert_array_equal(nearest_distance(train, query), [0.0, 0.03125])


def test_admissibility_by_distance_by_hand() -> None:
    """Six rows in two bins of three: near ones are covered, of the far ones one in three; twice u covers two."""
    distance = np.asarray([0.1, 5.0, 0.2, 4.0, 0.3, 3.0])
    u = np.asarray([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    error = np.asarray([0.5, 9.0, 1.0, 4.0, 0.0, 2.0])
    near, far = by_distance(distance, u, error, bins=2)
    assert near == DistanceBin(0.1, pytest.approx(1.65), 3, 1.0, 0.5, 1.0)
    assert far == DistanceBin(pytest.approx(1.65), 5.0, 3, pytest.approx(1 / 3), 5.0, 2.0)
    assert by_distance(distance, u, error, factor=2.0, bins=2)[1].admissible == pytest.approx(2 / 3)


def test_bins_that_ties_leave_empty_are_dropped() -> None:
    """All rows at one distance are one bin; no rows are none; every row is in one bin only."""
    assert by_distance(np.ones(4), np.ones(4), np.full(4, 2.0)) == [DistanceBin(1.0, 1.0, 4, 0.0, 2.0, 1.0)]
    assert by_distance([], [], []) == []
    distance = np.asarray([0.0] * 7 + [1.0, 2.0, 3.0])
    bins = by_distance(distance, np.ones(10), np.ones(10), bins=5)
    assert sum(each.rows for each in bins) == 10
    assert bins[0][:3] == (0.0, pytest.approx(1.2), 8)
