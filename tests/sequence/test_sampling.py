"""Filters and draws of tokens: by hand, by a loop, never nothing left, and the same whoever else draws."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orl.sequence.gpt import MASKED
from orl.sequence.sampling import Filter, draw, expectation, filtered, fold_in, inverse_cdf, log_prob

PROBS = (0.5, 0.2, 0.15, 0.1, 0.05)
NUMBERS = st.floats(-30, 30, width=32, allow_subnormal=False)  # XLA takes those for zero
KEEPS = (
    Filter(),
    Filter(top_k=1),
    Filter(top_k=3),
    Filter(cdf=0.6),
    Filter(cdf=0.999),
    Filter(cdf=0.3, top_k=2),
    Filter(temperature=0.5, cdf=0.6),
    Filter(temperature=3.0, top_k=4, cdf=0.1),
)


def kept(probs: tuple[float, ...], keep: Filter) -> list[int]:
    """Indices of the tokens that a filter leaves of a distribution."""
    return np.flatnonzero(np.asarray(filtered(jnp.log(jnp.asarray(probs)), keep)) > MASKED / 2).tolist()


def slow_kept(logits: np.ndarray, keep: Filter) -> tuple[set[int], set[int]]:
    """(tokens surely kept, tokens perhaps kept: their mass is the limit's but for rounding), one by one."""
    scaled = logits.astype(np.float64)
    probs = np.exp(scaled - scaled.max()) / np.exp(scaled - scaled.max()).sum()
    surely, perhaps = set(), set()
    for i in range(len(logits)):
        likelier = sum(logits[j] > logits[i] for j in range(len(logits)))
        mass = sum(probs[j] for j in range(len(logits)) if logits[j] <= logits[i])
        if likelier and keep.top_k and likelier >= keep.top_k:
            continue
        if not likelier or mass >= keep.cdf + 1e-5:
            surely.add(i)
        if not likelier or mass >= keep.cdf - 1e-5:
            perhaps.add(i)
    return surely, perhaps


pytestmark = pytest.mark.usefixtures("quick_compiles")
filter_one = partial(jax.jit, static_argnums=1)(filtered)


@pytest.mark.parametrize(
    ("cdf", "expected"),
    [
        (0.0, [0, 1, 2, 3, 4]),
        (0.04, [0, 1, 2, 3, 4]),
        (0.06, [0, 1, 2, 3]),
        (0.14, [0, 1, 2, 3]),
        (0.16, [0, 1, 2]),
        (0.29, [0, 1, 2]),
        (0.31, [0, 1]),
        (0.49, [0, 1]),
        (0.6, [0]),
        (0.9999, [0]),
    ],
)
def test_the_least_likely_tokens_go_while_their_mass_is_below_the_limit(cdf, expected) -> None:
    """T5. From below the masses are .05, .15, .3, .5 and 1."""
    assert kept(PROBS, Filter(cdf=cdf)) == expected


def test_a_mass_of_just_the_limit_is_kept_as_are_equals() -> None:
    """Powers of a half have no rounding: the two eighths together are a quarter, and go or stay together."""
    assert kept((0.125, 0.5, 0.125, 0.25), Filter(cdf=0.2)) == [0, 1, 2, 3]
    assert kept((0.125, 0.5, 0.125, 0.25), Filter(cdf=0.26)) == [1, 3]
    assert kept((0.25, 0.25, 0.25, 0.25), Filter(cdf=0.9)) == [0, 1, 2, 3]


def test_the_most_likely_tokens_and_their_equals_stay() -> None:
    for k, left in ((1, 1), (2, 2), (4, 4), (5, 5), (9, 5)):
        assert kept(PROBS, Filter(top_k=k)) == [*range(left)]
    assert kept((0.1, 0.2, 0.4, 0.2, 0.1), Filter(top_k=2)) == [1, 2, 3]
    assert kept((0.3, 0.3, 0.2, 0.2), Filter(top_k=1)) == [0, 1]


def test_both_filters_at_once_keep_what_each_would() -> None:
    assert kept(PROBS, Filter(top_k=2, cdf=0.1)) == [0, 1]
    assert kept(PROBS, Filter(top_k=4, cdf=0.2)) == [0, 1, 2]


def test_temperature_comes_before_the_filters() -> None:
    """A half squares the odds: masses .0077, .039, .108, .231, 1 from below."""
    logits = jnp.log(jnp.asarray(PROBS))
    squares = np.square(PROBS) / np.square(PROBS).sum()
    np.testing.assert_allclose(jax.nn.softmax(filtered(logits, Filter(temperature=0.5))), squares, rtol=1e-5)
    np.testing.assert_array_equal(filtered(logits, Filter()), logits)
    assert kept(PROBS, Filter(cdf=0.2)) == [0, 1, 2]
    assert kept(PROBS, Filter(cdf=0.2, temperature=0.5)) == [0, 1]
    assert kept(PROBS, Filter(cdf=0.6, temperature=100.0)) == [0, 1]  # nearly even: .2, .4, .6+, .8, 1
    assert kept(PROBS, Filter(top_k=1, temperature=1e-3)) == [0]


@settings(max_examples=400, deadline=None)
@given(
    logits=st.lists(st.integers(-3, 3) | NUMBERS | st.just(MASKED), min_size=6, max_size=6),
    keep=st.sampled_from(KEEPS),
)
def test_something_is_always_left_and_it_is_the_likeliest(logits, keep) -> None:
    """T5: whatever the logits, ties included; what is left is unchanged, and the same as a loop's."""
    x = np.asarray(filter_one(jnp.asarray(logits, jnp.float32), Filter(temperature=keep.temperature)))
    found = np.asarray(filter_one(jnp.asarray(logits, jnp.float32), keep))
    stay = np.flatnonzero(found > MASKED / 10)
    if (x > MASKED / 10).any():  # some bin is in use, as always
        surely, perhaps = slow_kept(x, keep)
        in_use = set(np.flatnonzero(x > MASKED / 10))
        assert np.argmax(x) in stay
        assert (surely & in_use) <= set(stay) <= perhaps
        np.testing.assert_array_equal(found[stay], x[stay])
    probs = np.asarray(jax.nn.softmax(jnp.asarray(found)))
    assert np.isfinite(probs).all()
    np.testing.assert_allclose(probs.sum(), 1.0, rtol=1e-5)


def test_the_likeliest_token_stays_though_rounding_makes_all_of_them_less_than_the_limit() -> None:
    logits = 3 * jax.random.normal(jax.random.key(0), (500, 100))
    limit = 1 - 2**-24  # as far as float32 knows, the largest number below 1
    assert (jnp.sum(jax.nn.softmax(logits), axis=-1) < limit).sum() > 20
    found = filter_one(logits, Filter(cdf=limit))
    best = jnp.argmax(logits, axis=-1)
    np.testing.assert_array_equal(found > MASKED / 2, np.arange(100) == best[:, None])


def test_inverse_cdf_by_hand() -> None:
    below = np.nextafter(np.float32(1), np.float32(0))  # the largest number that a draw can be
    cases = [
        ((0.25, 0.5, 0.25), [(0.0, 0), (0.2499, 0), (0.25, 1), (0.7499, 1), (0.75, 2), (below, 2)]),
        ((0.0, 0.5, 0.0, 0.5, 0.0), [(0.0, 1), (0.4999, 1), (0.5, 3), (below, 3)]),
        ((0.0, 0.0, 1.0), [(0.0, 2), (below, 2)]),
        ((1.0, 0.0), [(0.0, 0), (below, 0)]),
        ((0.5, 1.0, 0.5), [(0.0, 0), (0.25, 1), (0.74, 1), (0.75, 2)]),  # twice a distribution is the same one
    ]
    for probs, pairs in cases:
        rows = jnp.tile(jnp.asarray(probs, jnp.float32), (len(pairs), 1))
        uniform, expected = zip(*pairs, strict=True)
        found = inverse_cdf(rows, jnp.asarray(uniform, jnp.float32))
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, expected)


def test_tokens_of_probability_zero_are_never_drawn() -> None:
    """Of 100, most of them zero, at the ends and between; also by the smallest and the largest number."""
    rng = np.random.default_rng(0)
    probs = rng.exponential(size=(4000, 100)) * (rng.random((4000, 100)) < rng.uniform(0.02, 0.9, (4000, 1)))
    probs[:, 50] += 1e-3
    probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
    uniform = rng.random(4000).astype(np.float32)
    uniform[:1000], uniform[1000:2000] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    found = np.asarray(inverse_cdf(jnp.asarray(probs), jnp.asarray(uniform)))
    assert (probs[np.arange(4000), found] > 0).all()
    np.testing.assert_array_equal(found[:1000], (probs > 0).argmax(1)[:1000])  # the first one there is
    running = np.cumsum(probs.astype(np.float64), 1)
    exact = (running <= (uniform * running[:, -1])[:, None]).sum(1)
    assert (found[2000:] != exact[2000:]).mean() < 1e-3  # but for rounding


@pytest.mark.parametrize("keep", [Filter(), Filter(top_k=2), Filter(cdf=0.25), Filter(temperature=0.5)])
def test_draws_are_as_frequent_as_they_are_likely(keep) -> None:
    logits = jnp.log(jnp.asarray(PROBS))
    tokens = draw(jax.random.split(jax.random.key(0), 4), jnp.tile(logits, (40_000, 1)), keep)
    expected = np.power(PROBS, 1 / keep.temperature) * np.isin(np.arange(5), kept(PROBS, keep))
    expected = 40_000 * expected / expected.sum()
    found = np.bincount(tokens, minlength=5)
    assert (found[expected == 0] == 0).all()
    likely = expected > 0
    chi_square = ((found - expected)[likely] ** 2 / expected[likely]).sum()
    assert 1e-4 < chi_square < 23.5  # four degrees of freedom: one in ten thousand is above


def test_an_episode_draws_the_same_alone_and_among_others() -> None:
    logits = jax.random.normal(jax.random.key(1), (3 * 8, 6))
    keys = jax.random.split(jax.random.key(2), 3)
    together = draw(keys, logits, Filter(cdf=0.1))
    for episode in range(3):
        rows = slice(8 * episode, 8 * episode + 8)
        alone = draw(keys[episode : episode + 1], logits[rows], Filter(cdf=0.1))
        np.testing.assert_array_equal(together[rows], alone)
    same = draw(keys, jnp.tile(logits[:1], (24, 1)), Filter())  # not all rows draw alike, nor all episodes
    assert len(np.unique(same[:8])) > 1
    assert not np.array_equal(same[:8], same[8:16])


def test_greedy_draws_need_no_luck() -> None:
    logits = jnp.asarray([[0.0, 2.0, 1.0], [3.0, 3.0, 1.0]])
    for seed in range(3):
        found = draw(jax.random.split(jax.random.key(seed), 2), logits, Filter(top_k=1))
        assert found.tolist() == [1, 0]
        assert found.dtype == jnp.int32


def test_later_draws_have_keys_of_their_own() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    later = [fold_in(keys, jnp.asarray(data)) for data in range(4)]
    rows = np.concatenate([np.asarray(jax.random.key_data(each)) for each in (keys, *later)])
    assert len(np.unique(rows, axis=0)) == 15
    alone = jax.random.key_data(jax.random.fold_in(keys[1], 2))
    np.testing.assert_array_equal(jax.random.key_data(later[2])[1], alone)


def test_expectation_and_log_probability_by_hand() -> None:
    logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])) + jnp.asarray([[3.0], [-2.0]])
    np.testing.assert_allclose(expectation(logits, jnp.asarray([4.0, 8.0, -4.0])), [3.0, -2.0], rtol=1e-5)
    found = log_prob(logits, jnp.asarray([1, 2]))
    np.testing.assert_allclose(found, np.log([0.25, 0.8]), rtol=1e-5)
    masked = jnp.where(jnp.asarray([True, False, True]), logits[0], MASKED)  # a bin not in use has no part in either
    np.testing.assert_allclose(expectation(masked, jnp.asarray([3.0, 1e6, 6.0])), 4.0, rtol=1e-5)
    np.testing.assert_allclose(log_prob(masked, jnp.asarray(2)), np.log(1 / 3), rtol=1e-5)
