"""Densities against scipy, float64 NumPy and numerical integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from orl.distributions import gaussian_log_prob, log_tanh_slope, sample_tanh_gaussian, tanh_gaussian_log_prob


def test_gaussian_log_prob_is_scipys_summed_over_the_last_axis():
    rng = np.random.default_rng(0)
    x, mean, log_std = rng.normal(size=(3, 4, 5, 2))
    want = stats.norm.logpdf(x, mean, np.exp(log_std)).sum(axis=-1)
    got = gaussian_log_prob(*map(jnp.asarray, (x, mean, log_std)))
    assert got.shape == (4, 5)
    np.testing.assert_allclose(got, want, rtol=2e-5)


def test_gaussian_log_prob_by_hand():
    """log N(3; 1, 2) = -1/2 - log 2 - log(2 pi) / 2."""
    got = gaussian_log_prob(jnp.array([3.0]), jnp.array([1.0]), jnp.log(jnp.array([2.0])))
    assert float(got) == pytest.approx(-0.5 - 0.6931472 - 0.9189385, abs=1e-6)


@pytest.mark.parametrize("u", [-20.0, -8.0, -1.0, 0.0, 1e-3, 0.5, 3.0, 9.5, 20.0])
def test_log_tanh_slope_where_tanh_saturates(u):
    """In float32 1 - tanh(u)^2 is exactly 0 from |u| = 9.1 on; the log must still be about 2 log 2 - 2 |u|."""
    with np.errstate(all="raise"):
        want = -2.0 * (np.logaddexp(u, -u) - np.log(2.0))  # 1 - tanh^2 = 1 / cosh^2, in float64
    assert float(log_tanh_slope(jnp.float32(u))) == pytest.approx(want, rel=1e-6, abs=1e-6)


def test_log_tanh_slope_has_the_right_gradient_where_tanh_saturates():
    """d/du log(1 - tanh(u)^2) = -2 tanh(u): no NaN through the policy loss."""
    u = jnp.array([-20.0, -0.3, 0.0, 0.3, 20.0])
    np.testing.assert_allclose(jax.vmap(jax.grad(log_tanh_slope))(u), -2.0 * np.tanh(u), atol=1e-6)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.8, -1.0), (-1.5, 0.4)])
def test_density_over_actions_integrates_to_one(mean, log_std):
    """A missing or inverted change of variables leaves the integral far from 1."""
    u = np.linspace(-9.0, 9.0, 20_001)
    a = np.tanh(u)
    log_prob = tanh_gaussian_log_prob(jnp.asarray(a)[:, None], jnp.array([mean]), jnp.array([log_std]), margin=1e-7)
    inside = np.abs(a) < 0.9999  # float32 arctanh; what lies beyond has its mass added from the normal law
    beyond = stats.norm.sf(np.arctanh(0.9999), [mean, -mean], np.exp(log_std)).sum()
    total = np.trapezoid(np.exp(np.asarray(log_prob, np.float64))[inside], a[inside])
    assert total + beyond == pytest.approx(1.0, abs=1e-3)


def test_sampled_log_prob_is_the_density_of_the_sampled_action():
    mean, log_std = jnp.array([0.3, -0.5]), jnp.array([-0.7, -0.2])
    shape = (500, 2)
    action, log_prob = sample_tanh_gaussian(
        jax.random.key(0), jnp.broadcast_to(mean, shape), jnp.broadcast_to(log_std, shape)
    )
    assert log_prob.shape == (500,)
    a = np.asarray(action, np.float64)
    inside = np.abs(a).max(axis=-1) < 0.99  # arctanh of float32 loses digits near the bound
    u = np.arctanh(a)
    want = (stats.norm.logpdf(u, mean, np.exp(log_std)) - np.log(1.0 - a**2)).sum(axis=-1)
    np.testing.assert_allclose(log_prob[inside], want[inside], atol=1e-3)
    np.testing.assert_allclose(tanh_gaussian_log_prob(action, mean, log_std)[inside], want[inside], atol=1e-3)


def test_samples_follow_the_density():
    """arctanh of the actions is N(mean, exp(log_std)): a std used as a variance or a log fails."""
    shape = (20_000, 1)
    action, _ = sample_tanh_gaussian(jax.random.key(1), jnp.full(shape, 0.4), jnp.full(shape, -1.0))
    cdf = stats.norm(0.4, np.exp(-1.0)).cdf
    p = stats.kstest(np.arctanh(np.asarray(action[:, 0], np.float64)), cdf).pvalue
    assert p > 1e-3


def test_mean_of_importance_weights_is_the_volume():
    """E[1 / pi(a)] over a ~ pi is the measure of the support: 2 in one dimension, 4 in two."""
    for dim in (1, 2):
        shape = (200_000, dim)
        _, log_prob = sample_tanh_gaussian(jax.random.key(2), jnp.zeros(shape), jnp.zeros(shape))
        assert float(jnp.mean(jnp.exp(-log_prob))) == pytest.approx(2.0**dim, rel=0.02)


@pytest.mark.parametrize("edge", [-1.0, 1.0])
def test_logged_actions_on_the_bound_have_a_finite_density_and_gradient(edge):
    def log_prob(mean):
        return tanh_gaussian_log_prob(jnp.array([edge, 0.0]), mean, jnp.zeros(2))

    value, grad = jax.value_and_grad(log_prob)(jnp.zeros(2))
    assert np.isfinite(value)
    np.testing.assert_allclose(grad, [edge * np.arctanh(1.0 - 1e-5), 0.0], rtol=1e-2)
