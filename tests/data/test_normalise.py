"""Standardisation against plain NumPy, and columns that do not vary."""

from __future__ import annotations

import numpy as np

from orl.data.normalise import fit_normaliser, identity_normaliser


def test_standardised_rows_have_mean_zero_and_std_one() -> None:
    """Mean and (population) std are NumPy's; applying them standardises, inverting restores."""
    x = (np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 30.0, 0.02] + [5.0, -100.0, 0.0]).astype(np.float32)
    normaliser = fit_normaliser(x)
    np.testing.assert_allclose(normaliser.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(normaliser.std, x.std(axis=0, dtype=np.float64), rtol=1e-6)
    z = np.asarray(normaliser.apply(x), np.float64)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=1e-5)
    np.testing.assert_allclose(normaliser.invert(normaliser.apply(x)), x, rtol=1e-5, atol=1e-5)


def test_a_constant_column_maps_to_zero() -> None:
    """Also where float32 rounding gives it a tiny spread: dividing by that would blow the column up."""
    x = np.zeros((100, 3), np.float32)
    x[:, 1] = 1000.1
    x[::2, 1] = np.nextafter(np.float32(1000.1), np.float32(2000.0))
    x[:, 2] = np.arange(100)
    normaliser = fit_normaliser(x)
    np.testing.assert_array_equal(np.asarray(normaliser.std)[:2], [1.0, 1.0])
    assert np.abs(normaliser.apply(x)[:, :2]).max() < 1e-3
    assert normaliser.std[2] > 28.0


def test_a_small_spread_around_zero_is_not_constant() -> None:
    """1e-4 around 0 is a signal, not rounding."""
    x = np.random.default_rng(1).normal(size=(200, 1)) * 1e-4
    np.testing.assert_allclose(np.asarray(fit_normaliser(x).apply(x)).std(), 1.0, rtol=1e-4)


def test_the_identity_changes_nothing() -> None:
    """Both ways, bit for bit."""
    x = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(identity_normaliser(4).apply(x), x)
    np.testing.assert_array_equal(identity_normaliser(4).invert(x), x)
