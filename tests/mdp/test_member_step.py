"""The step of one member a row: who speaks for which row, at what cost, and for how long."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.data.normalise import Normaliser
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.mdp.member_step import make_member_step
from orl.mdp.step import make_step
from orl.types import Array

ELITES = (3, 0, 2)
STD = np.asarray([[0.1, 0.2, 0.3], [9.0, 9.0, 9.0], [0.7, 0.8, 0.9], [0.25, 0.35, 0.45]])


@pytest.fixture(scope="module")
def model() -> tuple[Ensemble, EnsembleParams]:
    """Four linear members that differ in every input, three of them elites; units of inputs and targets are not 1."""
    ensemble, params = constant_ensemble(np.arange(12.0).reshape(4, 3), STD, ELITES, outputs_std=(2.0, 3.0, 5.0))
    params.net["params"]["Dense_0"]["kernel"] = jax.random.normal(jax.random.key(9), (4, 3, 6)) / 4
    inputs = Normaliser(jnp.asarray([0.5, -1.0, 0.2]), jnp.asarray([2.0, 0.5, 3.0]))
    targets = Normaliser(jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([0.5, 2.0, 4.0]))
    return ensemble, params._replace(inputs=inputs, targets=targets)


def some(rows: int) -> tuple[Array, Array]:
    """Observations [rows, 2] and actions [rows, 1], all different."""
    return jax.random.normal(jax.random.key(1), (rows, 2)), jax.random.normal(jax.random.key(2), (rows, 1))


@pytest.mark.parametrize("uncertainty", [None, "max_std"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 12])
def test_row_i_is_elite_i_mod_elites(model: tuple[Ensemble, EnsembleParams], rows: int, uncertainty: str) -> None:
    """Means of every row against the whole prediction, row by row, whether or not rows fill the last round."""
    ensemble, params = model
    obs, action = some(rows)
    step = make_member_step(ensemble, "never", uncertainty, sample=False)
    out = jax.jit(step)(params, jax.random.key(0), obs, action)
    mean = np.asarray(ensemble.predict(params, obs, action).mean)
    expected = np.stack([mean[ELITES[i % 3], i] for i in range(rows)])
    np.testing.assert_allclose(out.next_obs - obs, expected[:, :-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out.reward, expected[:, -1], rtol=1e-4, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, out, jax.jit(step)(params, jax.random.key(7), obs, action))


def test_a_trajectory_stays_on_one_member(model: tuple[Ensemble, EnsembleParams]) -> None:
    """Five steps of five rows are five steps of members 3, 0, 2, 3, 0, each alone."""
    ensemble, params = model
    step = make_member_step(ensemble, "never", sample=False)
    obs, action = some(5)
    alone = [obs[i] for i in range(5)]
    for number in range(5):
        obs = step(params, jax.random.key(number), obs, action).next_obs
        for i in range(5):
            change = ensemble.predict(params, alone[i][None], action[i][None]).mean[ELITES[i % 3], 0, :-1]
            alone[i] = alone[i] + change
    np.testing.assert_allclose(obs, jnp.stack(alone), rtol=1e-3)


@pytest.mark.parametrize("uncertainty", [None, "max_std"])
def test_samples_are_the_members_gaussian(model: tuple[Ensemble, EnsembleParams], uncertainty: str | None) -> None:
    """z-scores of 30 000 rows by their own members' mean and std: standard normal, independent across dimensions."""
    ensemble, params = model
    rows = 30_000
    obs, action = jnp.tile(jnp.asarray([0.3, -0.8]), (rows, 1)), jnp.zeros((rows, 1))
    out = jax.jit(make_member_step(ensemble, "never", uncertainty))(params, jax.random.key(3), obs, action)
    prediction = ensemble.predict(params, obs[:1], action[:1])
    output = np.concatenate([out.next_obs - obs, out.reward[:, None]], axis=-1)
    for turn, elite in enumerate(ELITES):
        z = (output[turn::3] - prediction.mean[elite, 0]) / prediction.std[elite, 0]
        np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.05)
        np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.04)
        np.testing.assert_allclose(np.corrcoef(z.T), np.eye(3), atol=0.05)
    again, other = (
        make_member_step(ensemble, "never", uncertainty)(params, jax.random.key(k), obs[:9], action[:9]).reward
        for k in (3, 4)
    )
    assert len(np.unique(again)) == 9
    assert not np.any(np.asarray(again) == np.asarray(other))


@pytest.mark.parametrize("units", ["raw", "standardised"])
def test_the_uncertainty_is_that_of_the_bare_step(model: tuple[Ensemble, EnsembleParams], units: str) -> None:
    """Of all members, the non-elite included; without a measure it is exactly 0."""
    ensemble, params = model
    obs, action = some(8)
    for name in ("max_std", "max_pairwise"):
        out = make_member_step(ensemble, "never", name, units)(params, jax.random.key(0), obs, action)
        bare = make_step(ensemble, "never", name, units)(params, jax.random.key(0), obs, action)
        np.testing.assert_allclose(out.uncertainty, bare.uncertainty, rtol=1e-6)
        assert np.all(out.uncertainty > 0)
    unmeasured = make_member_step(ensemble, "never", units=units)(params, jax.random.key(0), obs, action)
    np.testing.assert_array_equal(unmeasured.uncertainty, np.zeros(8))


def test_without_uncertainty_a_row_costs_one_network(model: tuple[Ensemble, EnsembleParams]) -> None:
    """Outputs of the program's matrix products: 6 a row, or 6 a row and member where the uncertainty is asked for."""
    ensemble, params = model
    obs, action = some(900)  # fewer than are worked on at a time, so that every product is in sight
    key = jax.random.key(0)

    def products(uncertainty: str | None) -> int:
        step = make_member_step(ensemble, "never", uncertainty, sample=False)
        found = []

        def look(jaxpr: Any) -> None:
            for equation in jaxpr.eqns:
                if equation.primitive.name == "dot_general":
                    found.append(equation.outvars[0].aval.size)
                jax.tree.map(look, [p.jaxpr for p in equation.params.values() if hasattr(p, "jaxpr")])

        look(jax.make_jaxpr(step)(params, key, obs, action).jaxpr)
        return sum(found)

    assert products(None) == 900 * 6
    assert products("max_std") == 4 * 900 * 6


def test_the_end_is_judged_at_the_predicted_observation() -> None:
    """Inverted pendulum, |angle| > 0.2: a member that adds 0.3 ends from 0, one that adds 0.1 does not."""
    ensemble, params = constant_ensemble(np.asarray([[0.0, 0.3, 1.0], [0.0, 0.1, 1.0]]), np.zeros((2, 3)), (0, 1))
    step = make_member_step(ensemble, "inverted_pendulum")
    out = step(params, jax.random.key(0), jnp.zeros((4, 2)), jnp.zeros((4, 1)))
    np.testing.assert_array_equal(out.terminated, [True, False, True, False])
    never = make_member_step(ensemble, "never")(params, jax.random.key(0), jnp.zeros((4, 2)), jnp.zeros((4, 1)))
    assert not np.any(never.terminated)
