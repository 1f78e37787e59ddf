"""The steepness of values that are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.agents.state_value import ValueParams, init_value, state_value
from orl.data.normalise import Normaliser
from orl.evaluation.diagnosis.lipschitz import slope_along, value_lipschitz


def linear_value(slope: np.ndarray, units: float) -> ValueParams:
    """V(s) = units * slope . s + 7: hidden layers pass slope . s on, held positive by a bias that is taken off."""
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), init_value(jax.random.key(0), len(slope)).net)
    layers = params["params"]
    first, second, last = (layers[name] for name in sorted(layers))
    first["kernel"][:, 0], first["bias"][0] = slope, 100.0
    second["kernel"][0, 0] = 1.0
    last["kernel"][0, 0], last["bias"][0] = 1.0, -100.0
    one = Normaliser(jnp.zeros(len(slope)), jnp.ones(len(slope)))
    return ValueParams(params, one, Normaliser(jnp.asarray([7.0]), jnp.asarray([units])))


def test_a_linear_value_is_as_steep_as_its_slope_in_the_units_asked_for() -> None:
    """V = 2 (3 a + 4 b) + 7: slope (6, 8), length 10; with units (0.5, 2) it is |(3, 16)|."""
    value, obs = linear_value(np.asarray([3.0, 4.0]), 2.0), np.random.default_rng(0).normal(size=(2500, 2))
    np.testing.assert_allclose(state_value(value, jnp.asarray([[1.0, -1.0]])), [2 * (3 - 4) + 7], rtol=1e-5)
    assert value_lipschitz(value, obs, np.ones(2), 0.5) == pytest.approx(10.0, rel=1e-5)
    assert value_lipschitz(value, obs, np.asarray([0.5, 2.0]), 1.0) == pytest.approx(np.hypot(3.0, 16.0), rel=1e-5)


def test_the_quantile_is_over_the_observations() -> None:
    """Against central differences of a network's value, observation by observation."""
    value = init_value(jax.random.key(1), 3)._replace(obs=Normaliser(jnp.zeros(3), jnp.full(3, 0.5)))
    obs, scale = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32), np.asarray([1.0, 2.0, 0.1])
    slopes = np.zeros(40)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), value)
        for d in range(3):
            shift = np.eye(3)[d] * scale * 1e-6
            slopes += np.asarray((state_value(exact, obs + shift) - state_value(exact, obs - shift)) / 2e-6) ** 2
    for quantile in (0.5, 0.9, 1.0):
        expected = np.quantile(np.sqrt(slopes), quantile)
        assert value_lipschitz(value, obs, scale, quantile) == pytest.approx(expected, rel=1e-3)


def test_dimensions_beyond_the_units_are_held_fixed() -> None:
    """Of a stack whose newest part has one dimension, only that one's slope counts: 2 * 3 in units of 0.5."""
    value = linear_value(np.asarray([3.0, 4.0]), 2.0)
    assert value_lipschitz(value, np.zeros((3, 2)), np.asarray([0.5]), 0.5) == pytest.approx(3.0, rel=1e-5)


def test_the_slope_along_errors_by_hand() -> None:
    """V = 2 (3 a + 4 b) + 7: across (1, 0) it changes by 6, across (4, -3) by 0, over 1 and 5: 6 / 6; in all 1."""
    value, obs = linear_value(np.asarray([3.0, 4.0]), 2.0), np.asarray([[1.0, 1.0], [0.5, -2.0]])
    other, distance = obs + np.asarray([[1.0, 0.0], [4.0, -3.0]]), np.asarray([1.0, 5.0])
    assert slope_along(value, obs, other, distance) == pytest.approx(1.0, rel=1e-4)
    assert slope_along(value, obs[:1], other[:1], distance[:1]) == pytest.approx(6.0, rel=1e-4)
    assert slope_along(value, obs, obs, np.zeros(2)) == 0.0
