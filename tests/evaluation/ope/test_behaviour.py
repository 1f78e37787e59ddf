"""The behaviour's density: against SciPy, what it recovers of a known behaviour, and the smoothed policy's weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from orl.evaluation.ope.behaviour import (
    EDGE,
    BehaviourConfig,
    action_distance,
    action_distribution,
    censored_log_density,
    fit_behaviour,
    log_density,
)
from orl.evaluation.ope.importance import smoothed_log_ratio
from orl.types import Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")

LINEAR = BehaviourConfig(hidden=(), updates=1500, learning_rate=0.02, checks=5)
MEAN, STD = np.asarray([0.4, -0.3]), np.asarray([0.2, 0.4])


def noisy_log(rows: int, seed: int = 0) -> Transition:
    """Actions MEAN * obs + STD * exp(obs / 4) * noise, clipped to [-1, 1]; observations are not in their own units."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 1))
    action = np.clip(MEAN * x + STD * np.exp(x / 4) * rng.standard_normal((rows, 2)), -1.0, 1.0)
    obs = jnp.asarray(5.0 + 3.0 * x, jnp.float32)
    return Transition(obs, jnp.asarray(action, jnp.float32), jnp.zeros(rows), obs, jnp.zeros(rows))


def test_density_inside_and_probability_at_the_bounds() -> None:
    """Against SciPy: a density in the open box, the tail's probability at its edge; together they make 1."""
    mean, std = np.asarray([0.8, -0.2]), np.asarray([0.3, 0.5])
    found = censored_log_density(jnp.asarray([[0.1, -0.5], [1.0, 0.3], [-1.0, -1.0]]), mean, std)  # type: ignore[arg-type]
    by = stats.norm(mean, std)
    inside, edge = by.logpdf([[0.1, -0.5], [0, 0.3]]), (by.logcdf(-1 + EDGE), by.logsf(1 - EDGE))
    np.testing.assert_allclose(found, [inside[0].sum(), edge[1][0] + inside[1, 1], edge[0].sum()], rtol=1e-5)
    grid = np.linspace(-1 + EDGE, 1 - EDGE, 20_001)
    density = np.exp(censored_log_density(jnp.asarray(grid)[1:-1, None], mean[:1], std[:1]))  # type: ignore[arg-type]
    atoms = np.exp(censored_log_density(jnp.asarray([[-1.0], [1.0]]), mean[:1], std[:1]))  # type: ignore[arg-type]
    assert density.sum() * (grid[1] - grid[0]) + atoms.sum() == pytest.approx(1.0, abs=1e-3)


def test_it_recovers_a_behaviour_that_was_clipped() -> None:
    """Mean and spread of a linear behaviour, an eighth of whose second action is at a bound, where a plain Gaussian
    would find a smaller spread."""
    rows = noisy_log(6000)
    assert np.mean(np.abs(np.asarray(rows.action)) == 1.0) > 0.02
    learns = np.random.default_rng(0).random((2, 6000)) < 0.8
    params = fit_behaviour(LINEAR, rows, learns, jax.random.key(0))
    x = np.linspace(-1.5, 1.5, 7)[:, None]
    mean, std = action_distribution(params, jnp.asarray(5.0 + 3.0 * x, jnp.float32))
    np.testing.assert_allclose(mean, np.broadcast_to(MEAN * x, (2, 7, 2)), atol=0.06)
    np.testing.assert_allclose(std, np.broadcast_to(STD * np.exp(x / 4), (2, 7, 2)), rtol=0.12)


def test_each_member_is_kept_as_it_was_at_its_best_on_unseen_rows() -> None:
    """Forty rows that a network learns by heart: what is kept is likelier on the other rows than the end of the fit,
    and as likely as it says."""
    rows = noisy_log(400, seed=1)
    learns = np.zeros((2, 400), bool)
    learns[0, :40] = learns[1, 40:80] = True
    kept, last = (
        fit_behaviour(
            BehaviourConfig(hidden=(64,), updates=1500, learning_rate=0.01, checks=c), rows, learns, jax.random.key(0)
        )
        for c in (15, 1)
    )
    density = np.asarray(log_density(kept, rows.obs, rows.action))
    unseen = [density[k][~learns[k]].mean() for k in range(2)]
    np.testing.assert_allclose(kept.held_out, unseen, rtol=1e-3)
    assert np.all(np.asarray(kept.held_out) > np.asarray(last.held_out) + 0.1)


def test_distance_is_in_spreads_of_the_behaviour() -> None:
    """Two spreads off in one dimension and none in the other: the root of (4 + 0) / 2; the mean itself: 0."""
    params = fit_behaviour(
        BehaviourConfig(hidden=(), updates=5), noisy_log(50), np.eye(1, 50, dtype=bool), jax.random.key(0)
    )
    obs = jnp.asarray([[3.0], [6.0]])
    mean, std = action_distribution(params, obs)
    np.testing.assert_allclose(action_distance(params, obs, mean[0]), 0.0, atol=1e-6)
    off = mean[0] + std[0] * jnp.asarray([2.0, 0.0])
    np.testing.assert_allclose(action_distance(params, obs, off), np.sqrt(2.0), rtol=1e-5)


def test_weights_of_a_smoothed_policy() -> None:
    """The behaviour's own mean has weight 1; another policy's are the ratio of two Gaussians by SciPy, of half the
    spread where asked for; they average to 1 over the behaviour's actions."""
    rows = noisy_log(4000)
    params = fit_behaviour(LINEAR, rows, np.random.default_rng(0).random((1, 4000)) < 0.8, jax.random.key(0))
    mean, std = (np.asarray(x)[0] for x in action_distribution(params, rows.obs))
    np.testing.assert_allclose(smoothed_log_ratio(params, rows.obs, rows.action, jnp.asarray(mean)), 0.0, atol=1e-5)
    own, action = mean + 0.1, np.asarray(rows.action)
    for bandwidth in (1.0, 0.5):
        found = np.asarray(smoothed_log_ratio(params, rows.obs, rows.action, jnp.asarray(own), bandwidth))[0]
        expected = stats.norm.logpdf(action, own, bandwidth * std) - stats.norm.logpdf(action, mean, std)
        inside = np.all(np.abs(action) < 1, axis=1)
        np.testing.assert_allclose(found[inside], expected.sum(axis=1)[inside], rtol=1e-3, atol=2e-3)
    weights = np.exp(np.asarray(smoothed_log_ratio(params, rows.obs, rows.action, jnp.asarray(own)))[0])
    assert weights.mean() == pytest.approx(1.0, abs=0.06)
    assert weights.std() > 0.3


def test_a_member_never_learns_from_rows_held_out() -> None:
    """Other actions in the rows that member 0 does not learn from leave it as it was, and change member 1."""
    rows, config = noisy_log(100), BehaviourConfig(hidden=(), updates=40, checks=1)
    learns = np.stack([np.arange(100) < 50, np.arange(100) >= 50])
    spoilt = rows._replace(action=jnp.asarray(rows.action).at[50:].set(0.9))
    first, again = (fit_behaviour(config, x, learns, jax.random.key(0)) for x in (rows, spoilt))
    for a, b in zip(jax.tree.leaves(first.net), jax.tree.leaves(again.net), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        assert np.any(np.asarray(a[1]) != np.asarray(b[1]))
