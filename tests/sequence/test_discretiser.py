"""Numbers to tokens and back: round trips, order, atoms, and an independent version of both methods."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orl.errors import UsageError
from orl.sequence.discretiser import encode_rows, fit_discretiser

METHODS = ("quantile", "uniform")
ROWS, BINS = 641, 16  # quantiles k/16 of 641 rows are rows 40 k exactly


NUMBERS = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)  # XLA takes subnormals for zero


def mixed_columns() -> NDArray[np.float32]:
    """[641, 6] normal, skewed, saturated at +-1, constant, five values, and a cluster with two far outliers."""
    rng = np.random.default_rng(0)
    cluster = rng.normal(size=ROWS)
    cluster[:2] = -80.0, 50.0
    columns = (
        rng.normal(size=ROWS),
        rng.exponential(30.0, ROWS) - 100.0,
        np.clip(1.5 * rng.normal(size=ROWS), -1.0, 1.0),
        np.full(ROWS, 3.7),
        rng.integers(0, 5, ROWS),
        cluster,
    )
    return np.column_stack(columns).astype(np.float32)


X = mixed_columns()


def all_tokens(counts: NDArray[np.int32], bins: int) -> NDArray[np.int32]:
    """[bins, D] every token in use; the last one again where a dimension has fewer."""
    return np.minimum(np.arange(bins)[:, None], counts - 1).astype(np.int32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("reconstruction", "share"), [("midpoint", 0.5), ("mean", 1.0)])
def test_numbers_come_back_to_within_their_bin(method, reconstruction, share) -> None:
    """T1: half a bin off at most with midpoints, one bin with means."""
    found = fit_discretiser(X, BINS, method, reconstruction)
    tokens = np.asarray(found.encode(jnp.asarray(X)))
    edges, dims = np.asarray(found.edges), np.arange(X.shape[1])
    left, right = edges[dims, tokens], edges[dims, tokens + 1]
    assert (tokens >= 0).all()
    assert (tokens < np.asarray(found.counts)).all()
    assert (left <= X).all()
    assert (right >= X).all()
    error = np.abs(np.asarray(found.decode(tokens)) - X)
    assert (error <= share * (right - left) + 1e-6 * np.maximum(np.abs(X), 1.0)).all()
    assert error[:, 0].max() > 0.3 * share * (right - left)[error[:, 0].argmax(), 0]  # nor is it all exact


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reconstruction", ["midpoint", "mean"])
def test_tokens_in_use_come_back_from_what_they_stand_for(method, reconstruction) -> None:
    """T1: idempotent, so a decoded trajectory may be encoded again."""
    found = fit_discretiser(X, BINS, method, reconstruction)
    tokens = all_tokens(np.asarray(found.counts), BINS)
    np.testing.assert_array_equal(found.encode(found.decode(tokens)), tokens)
    assert found.encode(found.decode(tokens)).dtype == jnp.int32


@pytest.mark.parametrize("method", METHODS)
def test_order_is_kept(method) -> None:
    found = fit_discretiser(X, BINS, method)
    tokens = np.asarray(found.encode(jnp.asarray(np.sort(X, axis=0))))
    assert (np.diff(tokens, axis=0) >= 0).all()
    for dim, count in enumerate(np.asarray(found.counts)):
        assert (np.diff(np.asarray(found.centres)[dim, :count]) > 0).all()
        assert (np.diff(np.asarray(found.edges)[dim, : count + 1]) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_outside_the_range_go_the_edge_bins(method) -> None:
    found = fit_discretiser(X, BINS, method)
    low, high = X.min(axis=0), X.max(axis=0)
    far = jnp.asarray(np.stack([low - 1e-3, low - 1e9, high + 1e-3, high + 1e9, high, low]))
    top = np.asarray(found.counts) - 1
    np.testing.assert_array_equal(found.encode(far), np.stack([0 * top, 0 * top, top, top, top, 0 * top]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 3.7, -250.0, 1e-4])
def test_a_constant_dimension_has_one_bin_and_comes_back(method, constant) -> None:
    found = fit_discretiser(np.full((50, 1), constant), 8, method)
    assert found.counts.tolist() == [1]
    others = jnp.asarray([[constant], [constant + 5.0], [constant - 5.0]], jnp.float32)
    np.testing.assert_array_equal(found.encode(others), 0)
    np.testing.assert_allclose(found.decode(jnp.zeros((1, 1))), constant, atol=1e-6 * max(1.0, abs(constant)))


def test_heavy_atoms_come_back_exactly() -> None:
    """13k rewards of which 3k are zero, actions saturated at +-1, returns that begin and end on an atom."""
    rng = np.random.default_rng(1)
    reward = np.concatenate([np.zeros(3000), rng.normal(0.3, 2.0, 10_000)])
    action = np.clip(rng.normal(0.0, 1.5, 13_000), -1.0, 1.0)
    ends = np.concatenate([np.full(4000, -7.0), rng.uniform(-7.0, 100.0, 8000), np.full(1000, 100.0)])
    x = np.column_stack([reward, action, ends]).astype(np.float32)
    found = fit_discretiser(x, 100)
    back = np.asarray(found.decode(found.encode(jnp.asarray(x))))
    spread = np.ptp(x, axis=0)
    for dim, atoms in enumerate([(0.0,), (-1.0, 1.0), (-7.0, 100.0)]):
        for atom in atoms:
            here = x[:, dim] == np.float32(atom)
            assert here.sum() >= 1000
            np.testing.assert_allclose(back[here, dim], atom, atol=1e-6 * spread[dim])
            assert np.unique(found.encode(jnp.asarray(x))[here, dim]).size == 1
            beside = (x[:, dim] != np.float32(atom)) & (np.abs(x[:, dim] - atom) < 0.01 * spread[dim])
            assert beside.any()
            assert (np.abs(back[beside, dim] - atom) > 1e-5 * spread[dim]).all()  # the bin is the atom's alone


def test_an_atom_far_from_zero_comes_back_exactly() -> None:
    """There the bin of one value is as narrow as float32 allows, and must still hold what it stands for."""
    rng = np.random.default_rng(2)
    for offset in (10.0, 30.0, 1000.0, -1000.0):
        spread = np.concatenate([np.full(300, 0.5), rng.uniform(0.0, 1.0, 700)])
        x = (offset + spread[:, None]).astype(np.float32)
        found = fit_discretiser(x, 20)
        atom = jnp.asarray([[offset + 0.5]], jnp.float32)
        token = found.encode(atom)
        np.testing.assert_allclose(found.decode(token), atom, rtol=1e-6)
        np.testing.assert_array_equal(found.encode(found.decode(token)), token)
        tokens = all_tokens(np.asarray(found.counts), 20)
        np.testing.assert_array_equal(found.encode(found.decode(tokens)), tokens)


def test_only_bins_that_can_hold_data_are_in_use() -> None:
    """Repeated quantiles are left out: a value that k of them fall on costs k - 1 bins, less the one it gets."""
    found = fit_discretiser(X, BINS)
    quantiles = np.sort(X, axis=0)[:: (ROWS - 1) // BINS]
    for dim in range(X.shape[1]):
        values, times = np.unique(quantiles[:, dim], return_counts=True)
        count = max(len(values) - 1 + int((times > 1).sum()), 1) if np.ptp(X[:, dim]) else 1
        assert int(found.counts[dim]) == count
        np.testing.assert_array_equal(found.in_use()[dim], np.arange(BINS) < count)
    assert found.counts[0] == BINS  # nothing repeats
    assert found.counts[2] < BINS
    assert found.counts[4] <= 9
    assert found.vocab_size == BINS
    uniform = fit_discretiser(X, BINS, "uniform")
    assert uniform.counts.tolist() == [BINS, BINS, BINS, 1, BINS, BINS]


def test_uniform_bins_are_equally_wide() -> None:
    found = fit_discretiser(X, BINS, "uniform")
    for dim in (0, 1, 2, 4, 5):
        width = (float(X[:, dim].max()) - float(X[:, dim].min())) / BINS
        np.testing.assert_allclose(np.diff(np.asarray(found.edges)[dim]), width, rtol=1e-4)
        np.testing.assert_allclose(found.edges[dim, 0], X[:, dim].min(), rtol=1e-6)
        np.testing.assert_allclose(found.edges[dim, -1], X[:, dim].max(), rtol=1e-6)


def test_quantile_bins_are_equally_full() -> None:
    tokens = encode_rows(fit_discretiser(X, BINS), X)
    for dim in (0, 1, 5):
        np.testing.assert_allclose(np.bincount(tokens[:, dim], minlength=BINS), ROWS / BINS, atol=1)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_are_those_of_an_independent_version(method) -> None:
    """The edges by sorting and counting, the token as the last edge that is not above the number."""
    found = fit_discretiser(X, BINS, method)
    tokens = np.asarray(found.encode(jnp.asarray(X)))
    for dim in (0, 1, 2, 5):
        column = np.sort(X[:, dim]).astype(np.float64)
        span = column[-1] - column[0]
        if method == "uniform":
            edges = [column[0] + k * span / BINS for k in range(BINS + 1)]
        else:
            marks = [column[40 * k] for k in range(BINS + 1)]
            edges = sorted(
                {m + extra for m in marks for extra in ((0.0, 1e-6 * span) if marks.count(m) > 1 else (0.0,))}
            )
        edges = np.asarray(edges).astype(np.float32)
        expected = [max(k for k in range(len(edges) - 1) if k == 0 or edges[k] <= value) for value in X[:, dim]]
        np.testing.assert_array_equal(tokens[:, dim], expected)
        middle = [(float(edges[k]) + float(edges[k + 1])) / 2 for k in expected]
        np.testing.assert_allclose(found.decode(tokens)[:, dim], middle, rtol=1e-6, atol=1e-6)


def test_means_are_those_of_the_data_and_midpoints_where_there_is_none() -> None:
    mean, middle = (fit_discretiser(X, BINS, "uniform", each) for each in ("mean", "midpoint"))
    tokens, empty = np.asarray(mean.encode(jnp.asarray(X))), 0
    for dim in range(X.shape[1]):
        for token in range(int(mean.counts[dim])):
            inside = X[tokens[:, dim] == token, dim].astype(np.float64)
            empty += not inside.size
            expected = inside.mean() if inside.size else middle.centres[dim, token]
            np.testing.assert_allclose(mean.centres[dim, token], expected, rtol=1e-5)
    assert empty > 5


def test_some_dimensions_alone_and_any_leading_axes() -> None:
    found = fit_discretiser(X, BINS)
    x = jnp.asarray(X[:24])
    tokens = found.encode(x)
    np.testing.assert_array_equal(found.encode_dims(x[:, 2:5], 2), tokens[:, 2:5])
    np.testing.assert_array_equal(found.decode_dims(tokens[:, 2:5], 2), found.decode(tokens)[:, 2:5])
    np.testing.assert_array_equal(found.encode(x.reshape(2, 3, 4, 6)), tokens.reshape(2, 3, 4, 6))
    np.testing.assert_array_equal(found.decode(tokens.astype(jnp.uint8)), found.decode(tokens))


def test_a_log_is_encoded_in_chunks_of_bytes() -> None:
    found = fit_discretiser(X, BINS)
    whole = encode_rows(found, X)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, found.encode(jnp.asarray(X)))
    np.testing.assert_array_equal(encode_rows(found, X, chunk=100), whole)


@pytest.mark.parametrize("bins", [-1, 0, 1, 257])
def test_numbers_of_bins_that_a_byte_cannot_hold_are_refused(bins) -> None:
    with pytest.raises(UsageError, match=f"model.bins is {bins}"):
        fit_discretiser(X, bins)


def test_the_smallest_and_largest_numbers_of_bins_work() -> None:
    x = np.linspace(0.0, 1.0, 1025)[:, None]
    assert np.unique(encode_rows(fit_discretiser(x, 2), x.astype(np.float32))).tolist() == [0, 1]
    tokens = encode_rows(fit_discretiser(x, 256), x.astype(np.float32))
    np.testing.assert_array_equal(np.unique(tokens), np.arange(256))


@settings(max_examples=200, deadline=None)
@given(
    column=st.lists(st.integers(-6, 6) | NUMBERS, min_size=40, max_size=40),
    bins=st.sampled_from([4, 9]),
    method=st.sampled_from(METHODS),
    reconstruction=st.sampled_from(["midpoint", "mean"]),
)
def test_any_column_makes_the_round_trip(column, bins, method, reconstruction) -> None:
    x = np.asarray(column, np.float32)[:, None]
    found = fit_discretiser(x, bins, method, reconstruction)
    count, edges = int(found.counts[0]), np.asarray(found.edges)[0]
    tokens = np.asarray(found.encode(jnp.asarray(x)))
    assert 1 <= count <= bins
    assert tokens.min() >= 0
    assert tokens.max() < count
    assert (edges[: count + 1][1:] > edges[: count + 1][:-1]).all()
    assert np.isinf(edges[count + 1 :]).all()
    assert (edges[tokens] <= x).all()
    assert (x <= edges[tokens + 1]).all()
    back = np.asarray(found.decode(tokens))
    np.testing.assert_array_equal(found.encode(jnp.asarray(back)), tokens)
    values, times = np.unique(x, return_counts=True)
    if method == "quantile":
        atoms = np.isin(x, values[times >= 2 * 40 / bins + 2])  # two quantiles at least
        room = 1e-6 * (float(np.ptp(x)) or max(float(np.abs(x).max()), 1.0))
        np.testing.assert_allclose(back[atoms], x[atoms], rtol=1e-6, atol=room)
