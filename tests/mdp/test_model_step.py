"""One step of the fitted model: which member speaks, with what noise, and when the episode ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.mdp.step import make_step, uncertainty_scale
from orl.types import Step

MEAN = np.asarray([[0.0, 1.0, 2.0], [10.0, 21.0, 32.0], [20.0, 41.0, 62.0], [30.0, 61.0, 92.0]])  # members far apart
STD = np.asarray([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9], [0.25, 0.35, 0.45]])
ELITES = (3, 1)
ROWS = 20_000


def one_step(uncertainty: str | None) -> tuple[np.ndarray, Step]:
    """Changes and rewards [ROWS, 3] of the constant ensemble from obs (5, -5), and the step itself."""
    ensemble, params = constant_ensemble(MEAN, STD, ELITES)
    obs, action = jnp.tile(jnp.asarray([5.0, -5.0]), (ROWS, 1)), jnp.zeros((ROWS, 1))
    out = jax.jit(make_step(ensemble, "never", uncertainty))(params, jax.random.key(3), obs, action)
    return np.concatenate([out.next_obs - obs, out.reward[:, None]], axis=-1), out


@pytest.mark.parametrize("uncertainty", [None, "max_std"])
def test_each_row_is_one_elites_gaussian(uncertainty: str | None) -> None:
    """E4 and both ways to draw: half the rows from each elite, never another, obs and reward of the same member.

    A mean of the elites, a reward from a second draw or a non-elite would each leave the two clusters.
    """
    change, _ = one_step(uncertainty)
    member = np.argmin(np.abs(change[:, None] - MEAN).max(axis=-1), axis=1)
    assert set(member.tolist()) == set(ELITES)
    assert np.mean(member == 3) == pytest.approx(0.5, abs=0.02)
    for elite in ELITES:
        z = (change[member == elite] - MEAN[elite]) / STD[elite]
        np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.05)
        np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.04)
        np.testing.assert_allclose(np.corrcoef(z.T), np.eye(3), atol=0.05)  # noise of its own in every dimension


def test_the_noise_differs_between_rows_and_keys() -> None:
    """No two rows share a draw, and another key gives another step."""
    ensemble, params = constant_ensemble(MEAN, STD, ELITES)
    step = make_step(ensemble, "never")
    draws = [step(params, jax.random.key(i), jnp.zeros((50, 2)), jnp.zeros((50, 1))).reward for i in (0, 0, 1)]
    assert len(np.unique(draws[0])) == 50
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.any(np.asarray(draws[0]) == np.asarray(draws[2]))


def test_the_uncertainty_is_of_all_members_and_zero_where_unmeasured() -> None:
    """max_std's largest member is 2, not an elite: sqrt(.49 + .64 + .81); without a measure, exactly 0."""
    np.testing.assert_allclose(one_step("max_std")[1].uncertainty, np.sqrt(1.94), rtol=1e-5)
    assert not np.any(one_step(None)[1].uncertainty)
    largest = np.hypot(30.0, 60.0)
    np.testing.assert_allclose(one_step("max_pairwise")[1].uncertainty, largest, rtol=1e-5)


def test_standardised_uncertainty_is_in_units_of_the_training_spread() -> None:
    """By hand: stds (0.7, 0.8, 0.9) over spreads (7, 8, 3) are (0.1, 0.1, 0.3); raw units take no notice."""
    ensemble, params = constant_ensemble(MEAN, STD, ELITES, outputs_std=(7.0, 8.0, 3.0))
    np.testing.assert_array_equal(uncertainty_scale(params, "raw"), [1, 1, 1])
    np.testing.assert_array_equal(uncertainty_scale(params, "standardised"), [7, 8, 3])
    for units, expected in (("standardised", np.sqrt(0.11)), ("raw", np.sqrt(1.94))):
        step = make_step(ensemble, "never", "max_std", units)
        out = step(params, jax.random.key(0), jnp.zeros((3, 2)), jnp.zeros((3, 1)))
        np.testing.assert_allclose(out.uncertainty, expected, rtol=1e-5)


def test_a_rule_judges_the_next_observation() -> None:
    """Inverted pendulum, |angle| > 0.2: a step of +0.3 ends from 0 and -0.6, not from -0.3, itself out of bounds."""
    ensemble, params = constant_ensemble(np.asarray([[0.0, 0.3, 1.0]] * 2), np.zeros((2, 3)), (0, 1))
    obs = jnp.asarray([[0.0, 0.0], [0.0, -0.3], [0.0, -0.6]])
    for name, expected in (("inverted_pendulum", [True, False, True]), ("never", [False] * 3)):
        out = make_step(ensemble, name)(params, jax.random.key(0), obs, jnp.zeros((3, 1)))
        np.testing.assert_allclose(out.next_obs, obs + jnp.asarray([0.0, 0.3]), atol=1e-6)
        np.testing.assert_array_equal(out.terminated, expected)
        assert out.terminated.dtype == bool


def test_the_learned_head_judges_the_transition_it_was_given() -> None:
    """Its logit of (obs, action, sampled next_obs) above 0; judged at obs twice, some rows would differ."""
    ensemble, params = constant_ensemble(MEAN[:2] / 10, STD[:2] * 3, (0, 1))
    obs, action = jax.random.normal(jax.random.key(1), (300, 2)), jax.random.normal(jax.random.key(2), (300, 1))
    out = make_step(ensemble, "learned")(params, jax.random.key(3), obs, action)
    logit = ensemble.termination_logit(params, obs, action, out.next_obs)
    np.testing.assert_array_equal(out.terminated, logit > 0)
    assert 0.05 < np.mean(out.terminated) < 0.95
    assert np.any(out.terminated != (ensemble.termination_logit(params, obs, action, obs) > 0))
