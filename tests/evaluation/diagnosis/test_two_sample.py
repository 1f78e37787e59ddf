"""The classifier two-sample test: what it cannot tell apart, what it can, and how often it errs under the null."""

from __future__ import annotations

from math import comb

import jax
import numpy as np
import pytest

from orl.evaluation.diagnosis.two_sample import binomial_tail, two_sample_test


def test_the_tail_is_the_sum_of_the_binomial() -> None:
    assert binomial_tail(7, 10) == pytest.approx(sum(comb(10, k) for k in range(7, 11)) / 2**10)
    assert binomial_tail(0, 10) == pytest.approx(1.0)
    assert binomial_tail(10, 10) == pytest.approx(2**-10)
    assert binomial_tail(5200, 10_000) == pytest.approx(3.3e-5, rel=0.03)  # normal: P(z > 3.99)


def test_equal_samples_are_not_told_apart_and_shifted_ones_are() -> None:
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(2, 1000, 4)).astype(np.float32)
    fold = np.arange(1000) % 5
    equal = two_sample_test(real, alike, fold, jax.random.key(0))
    shifted = two_sample_test(real, alike + 4.0, fold, jax.random.key(0))
    assert equal is not None
    assert shifted is not None
    assert equal.rows == shifted.rows == 1000
    assert abs(equal.accuracy - 0.5) < 0.05
    assert equal.p_value > 0.01
    assert shifted.accuracy > 0.99
    assert shifted.p_value < 1e-100


def test_a_wrong_dependence_shows_although_every_column_is_right() -> None:
    """The model draws the next state without looking at this one: margins agree, the pair does not."""
    rng = np.random.default_rng(1)
    obs = rng.normal(size=(1000, 2))
    follow, loose = (x + 0.2 * rng.normal(size=(1000, 2)) for x in (obs, rng.permutation(obs)))
    real, model = (np.concatenate([obs, x], axis=1).astype(np.float32) for x in (follow, loose))
    found = two_sample_test(real, model, np.arange(1000) % 5, jax.random.key(1))
    assert found is not None
    assert found.accuracy > 0.8


def test_rows_that_are_copies_do_not_fool_it_within_a_fold() -> None:
    """Under the null, pairs that are nearly one row and lie in one fold: a memory of the other row would say 'the other
    origin' for each; only one of a pair is kept, so there is nothing to remember."""
    rng = np.random.default_rng(2)
    real = rng.normal(size=(1000, 4)).astype(np.float32)
    found = two_sample_test(real, real + np.float32(1e-4), np.arange(1000) % 5, jax.random.key(2))
    assert found is not None
    assert abs(found.accuracy - 0.5) < 0.05


def test_predictions_that_ran_away_are_told_at_once_and_few_rows_say_nothing() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(60, 2)).astype(np.float32)
    broken = real.copy()
    broken[::2] = np.inf
    found = two_sample_test(real, broken, np.arange(60) % 5, jax.random.key(0))
    assert found is not None
    assert (found.accuracy, found.p_value) == (1.0, 0.0)
    assert two_sample_test(real[:40], real[:40], np.arange(40) % 5, jax.random.key(0)) is None
    assert two_sample_test(real, real, np.zeros(60, int), jax.random.key(0)) is None


@pytest.mark.slow
def test_the_size_of_the_test_under_the_null() -> None:
    """Of 200 tests where there is nothing to find, about 5% end below p = 0.05 (never more than 9%), half above 0.5."""
    rng = np.random.default_rng(4)
    p = []
    for index in range(200):
        real, alike = rng.normal(size=(2, 300, 3)).astype(np.float32)
        found = two_sample_test(real, alike, np.arange(300) % 5, jax.random.key(index))
        assert found is not None
        p.append(found.p_value)
    assert 0.005 <= np.mean(np.asarray(p) <= 0.05) <= 0.09
    assert 0.35 <= np.mean(np.asarray(p) <= 0.5) <= 0.65
