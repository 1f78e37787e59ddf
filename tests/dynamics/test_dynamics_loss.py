"""The ensemble's loss against hand-worked numbers and independent NumPy versions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble
from orl.dynamics.loss import bound_penalty, gaussian_nll, soft_clamp, termination_loss, weight_decay

LOW, HIGH = jnp.full(1, -10.0), jnp.full(1, 0.5)


def test_soft_clamp_keeps_any_log_variance_within_its_bounds() -> None:
    """E1: inside [low, high] for inputs of any size, up to the 3e-5 that softplus(low - high) adds at the top."""
    squeezed = np.asarray(soft_clamp(jnp.asarray([-1e6, -50.0, -10.0, 0.5, 50.0, 1e6])[:, None], LOW, HIGH))
    assert squeezed.min() >= -10.0
    assert squeezed.max() <= 0.5 + 3e-5
    np.testing.assert_allclose(squeezed[[0, -1], 0], [-10.0, 0.5], atol=3e-5)


def test_soft_clamp_is_the_formula_of_two_softplus() -> None:
    """low + softplus(high - softplus(high - x) - low), in float64 NumPy; at both bounds it is ln 2 inside."""
    x = np.linspace(-20.0, 10.0, 61)
    upper = 0.5 - np.logaddexp(0.0, 0.5 - x)
    expected = -10.0 + np.logaddexp(0.0, upper + 10.0)
    np.testing.assert_allclose(soft_clamp(jnp.asarray(x)[:, None], LOW, HIGH)[:, 0], expected, atol=5e-6)
    at_bounds = soft_clamp(jnp.asarray([-10.0, 0.5])[:, None], LOW, HIGH)[:, 0]
    np.testing.assert_allclose(at_bounds, [-10.0 + np.log(2.0), 0.5 - np.log(2.0)], atol=6e-5)


def test_soft_clamp_is_strictly_monotone_and_the_identity_in_the_middle() -> None:
    """E1: order is kept, and a log-variance far from both bounds comes through unchanged."""
    x = jnp.linspace(-14.0, 6.0, 201)[:, None]
    assert np.all(np.diff(np.asarray(soft_clamp(x, LOW, HIGH))[:, 0]) > 0)
    assert soft_clamp(jnp.full((1, 1), -5.0), LOW, HIGH)[0, 0] == pytest.approx(-5.0, abs=0.015)


def test_gaussian_nll_by_hand() -> None:
    """One member, one row: errors 2 and 4, variances 1 and 4: the mean of 4 / 1 + ln 1 and 16 / 4 + ln 4."""
    mean, log_var, target = jnp.asarray([[[3.0, 5.0]]]), jnp.asarray([[[0.0, np.log(4.0)]]]), jnp.ones((1, 1, 2))
    assert gaussian_nll(mean, log_var, target) == pytest.approx(4.0 + np.log(2.0))


def test_gaussian_nll_sums_members_and_averages_rows_and_dimensions() -> None:
    """Against NumPy; the sum over members makes each member's gradient independent of how many there are."""
    rng = np.random.default_rng(0)
    mean, log_var, target = rng.normal(size=(3, 4, 5, 2))
    expected = sum(np.mean((mean[e] - target[e]) ** 2 / np.exp(log_var[e]) + log_var[e]) for e in range(4))
    assert gaussian_nll(*map(jnp.asarray, (mean, log_var, target))) == pytest.approx(expected, rel=1e-5)


def test_bound_penalty_pulls_the_bounds_together_by_exactly_its_weight() -> None:
    """E1: the gradient is -weight in every lower bound and +weight in every upper bound."""
    low, high = jnp.asarray([-10.0, -8.0]), jnp.asarray([0.5, 1.0])
    assert bound_penalty(low, high, 0.01) == pytest.approx(0.01 * (1.5 + 18.0))
    grad_low, grad_high = jax.grad(bound_penalty, argnums=(0, 1))(low, high, 0.01)
    np.testing.assert_allclose(grad_low, [-0.01, -0.01], rtol=1e-6)
    np.testing.assert_allclose(grad_high, [0.01, 0.01], rtol=1e-6)


def test_weight_decay_by_hand() -> None:
    """decay_l * 0.5 * ||W_l||^2: layer 0 has squares 1 + 4 + 9 + 16 over both members, layer 1 has 25; no bias."""
    net = {
        "params": {
            "Dense_0": {"kernel": jnp.asarray([[[1.0, 2.0]], [[3.0, 4.0]]]), "bias": jnp.full((2, 2), 1e3)},
            "Dense_1": {"kernel": jnp.asarray([[[5.0], [0.0]], [[0.0], [0.0]]]), "bias": jnp.full((2, 1), 1e3)},
        }
    }
    assert weight_decay(net, (0.1, 0.01)) == pytest.approx(0.1 * 15.0 + 0.01 * 12.5)


def test_weight_decay_counts_layers_as_numbers() -> None:
    """The eleventh layer, Dense_10, must get the last decay, though it sorts second as text."""
    kernels = {f"Dense_{i}": {"kernel": jnp.full((1, 1, 1), float(i))} for i in range(11)}
    decays = [0.0] * 10 + [2.0]
    assert weight_decay({"params": kernels}, decays) == pytest.approx(100.0)


def test_weight_decay_reads_the_ensemble_as_it_is_built() -> None:
    """The default network's five kernels, found by name, with one decay each."""
    config = EnsembleConfig(members=2, elites=1, hidden=(4, 3), weight_decay=(0.5, 0.25, 0.125))
    network = Ensemble(config, 2, 1).network(2, shared_input=True)
    net = network.init(jax.random.key(0), jnp.zeros((1, 3)))
    squares = [np.sum(np.square(net["params"][f"Dense_{i}"]["kernel"], dtype=np.float64)) for i in range(3)]
    expected = 0.5 * np.dot(config.weight_decay, squares)
    assert weight_decay(net, config.weight_decay) == pytest.approx(expected, rel=1e-5)


def test_weight_decay_needs_one_value_a_layer() -> None:
    """A missing value must not silently leave a layer undecayed."""
    with pytest.raises(ValueError):
        weight_decay({"params": {"Dense_0": {"kernel": jnp.ones((1, 1, 1))}}}, (0.1, 0.1))


def test_termination_loss_is_the_binary_cross_entropy() -> None:
    """Against -y log p - (1 - y) log(1 - p) in float64, and ln 2 at logit 0; finite at huge logits."""
    rng = np.random.default_rng(1)
    logit, label = rng.normal(size=50) * 3, (rng.random(50) < 0.3).astype(float)
    p = 1.0 / (1.0 + np.exp(-logit))
    expected = np.mean(-label * np.log(p) - (1 - label) * np.log(1 - p))
    assert termination_loss(jnp.asarray(logit), jnp.asarray(label)) == pytest.approx(expected, rel=1e-5)
    assert termination_loss(jnp.zeros(2), jnp.asarray([0.0, 1.0])) == pytest.approx(np.log(2.0))
    assert termination_loss(jnp.asarray([1e4, -1e4]), jnp.asarray([0.0, 1.0])) == pytest.approx(1e4)
