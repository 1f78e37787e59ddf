"""Errors of an ensemble whose predictions are chosen by hand, beside its uncertainties."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.uncertainty import UNCERTAINTIES, WITH_REWARD
from orl.evaluation.diagnosis.errors import judge, model_error
from orl.mdp.step import uncertainty_scale
from orl.types import Transition

SCALE = (2.0, 0.5, 10.0)


@pytest.fixture(scope="module")
def fitted() -> tuple[Ensemble, EnsembleParams]:
    """Three members that always add the same; elites are the first and the last."""
    mean = np.asarray([[1.0, 0.0, 5.0], [9.0, 9.0, 9.0], [3.0, -2.0, 7.0]])
    return constant_ensemble(mean, np.full((3, 3), 0.1) * [[1], [2], [3]], (0, 2), SCALE)


def rows(change: np.ndarray, reward: np.ndarray) -> Transition:
    """Transitions of random observations that change by `change` [N, 2]."""
    obs = np.random.default_rng(0).integers(-4, 5, change.shape).astype(np.float32)
    arrays = (obs, np.zeros((len(obs), 1)), reward, obs + change, np.zeros(len(obs)))
    return Transition(*(jnp.asarray(array, jnp.float32) for array in arrays))


def test_errors_are_those_of_the_elites_mean_by_hand(fitted: tuple[Ensemble, EnsembleParams]) -> None:
    """They add (2, -1) and expect a reward of 6: off by (3, 4) and 12, then by nothing; in units (1.5, 8) and 1.2."""
    log = rows(np.asarray([[5.0, 3.0], [2.0, -1.0]]), np.asarray([-6.0, 6.0]))
    np.testing.assert_allclose(model_error(*fitted, log, "raw"), [5.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(model_error(*fitted, log, "raw", with_reward=True), [13.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(model_error(*fitted, log, "standardised"), [np.hypot(1.5, 8.0), 0.0], atol=1e-5)
    judged = judge(*fitted, log, "standardised")
    np.testing.assert_allclose(judged.reward, [1.2, 0.0], atol=1e-5)
    np.testing.assert_allclose(judged.joint, [np.sqrt(1.5**2 + 8.0**2 + 1.2**2), 0.0], atol=1e-5)


@pytest.mark.parametrize("units", ["raw", "standardised"])
def test_uncertainties_are_those_of_the_model_step(fitted: tuple[Ensemble, EnsembleParams], units: str) -> None:
    """Every key of the table, of all members, in the units asked for; more rows than a chunk holds."""
    ensemble, params = fitted
    log = rows(np.zeros((1001, 2)), np.zeros(1001))
    judged = judge(ensemble, params, log, units)
    prediction, scale = ensemble.predict(params, log.obs, log.action), uncertainty_scale(params, units)
    assert judged.uncertainty.keys() == UNCERTAINTIES.keys()
    for name, measure in UNCERTAINTIES.items():
        np.testing.assert_allclose(judged.uncertainty[name], measure(prediction, scale), rtol=1e-5)


def test_an_uncertainty_is_held_to_the_error_it_speaks_of(fitted: tuple[Ensemble, EnsembleParams]) -> None:
    """Those with the reward's spread to the error with the reward, disagreements about the observation to that one."""
    judged = judge(*fitted, rows(np.asarray([[5.0, 3.0]]), np.asarray([-6.0])), "raw")
    found = {name: float(judged.error_of(name)[0]) for name in UNCERTAINTIES}
    assert found == pytest.approx(
        {"max_std": 13.0, "max_deviation": 5.0, "max_pairwise": 5.0, "ensemble_std": 5.0, "mixture_std": 13.0}
    )
    prediction = fitted[0].predict(fitted[1], jnp.zeros((1, 2)), jnp.zeros((1, 1)))
    wide = prediction._replace(std=prediction.std.at[..., -1].mul(50.0))
    for name, measure in UNCERTAINTIES.items():
        changed = not np.allclose(measure(wide, jnp.ones(3)), measure(prediction, jnp.ones(3)))
        assert changed == (name in WITH_REWARD)


def test_of_a_stacked_observation_the_newest_part_is_what_was_predicted(
    fitted: tuple[Ensemble, EnsembleParams],
) -> None:
    """Observations of six numbers, newest two first, and a model of two outputs and the reward."""
    ensemble, params = fitted
    wide = Ensemble(ensemble.config, 2, 5, learned_termination=True)  # 2 + 5 inputs: here a stack of six and an action
    inputs = jax.tree.map(lambda x: jnp.resize(x, (7,)), params.inputs)
    layer = params.net["params"]["Dense_0"]
    net = {"params": {"Dense_0": layer | {"kernel": jnp.zeros((3, 7, 6))}}}
    obs = jnp.asarray([[1.0, 2.0, 50.0, 60.0, 70.0, 80.0]])
    after = jnp.asarray([[6.0, 5.0, 1.0, 2.0, 50.0, 60.0]])
    log = Transition(obs, jnp.zeros((1, 1)), jnp.asarray([-6.0]), after, jnp.zeros(1))
    error = model_error(wide, params._replace(net=net, inputs=inputs), log, "raw", with_reward=True)
    np.testing.assert_allclose(error, [13.0], rtol=1e-5)
