"""MOPO's reward against the bare model's, and what is left of MOPO without its penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_problem import ACTIONS, ENSEMBLE, NORMALISER, OBS, Trainer, batch_for, make, model_params, random_rows

from orl.mdp.step import make_step
from orl.types import Step

pytestmark = pytest.mark.usefixtures("quick_compiles")
ROWS = random_rows(jax.random.key(2), 30)


def step_of(step, key=0, rows=ROWS) -> Step:
    return jax.jit(step)(model_params(), jax.random.key(key), rows.obs, rows.action)


@pytest.mark.parametrize("uncertainty", ["max_std", "max_pairwise"])
def test_reward_is_the_bare_models_less_the_weighted_uncertainty(uncertainty):
    bare = step_of(make_step(ENSEMBLE, "never", uncertainty))
    for coef in (0.0, 2.5):
        got = step_of(make("mopo", penalty_coef=coef, uncertainty=uncertainty).step)
        np.testing.assert_array_equal(got.next_obs, bare.next_obs)
        np.testing.assert_array_equal(got.terminated, bare.terminated)
        np.testing.assert_allclose(got.reward, bare.reward - coef * bare.uncertainty, atol=1e-6)
    assert float(bare.uncertainty.min()) > 0.0


def test_without_a_penalty_mopo_is_mbpo_in_distribution():
    """They deal rows to elites in different ways: the same mixture over the elites and no other member."""
    n = 20_000
    one = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (n, *x.shape[1:])), ROWS)
    mopo, mbpo = step_of(make("mopo", penalty_coef=0.0).step, 0, one), step_of(make("mbpo").step, 1, one)
    prediction = jax.jit(ENSEMBLE.predict)(model_params(), one.obs[:1], one.action[:1])
    mean, std = (np.asarray(x)[: ENSEMBLE.config.elites, 0] for x in prediction)  # the first members are the elites
    centre = mean.mean(axis=0)
    spread = np.sqrt((std**2 + (mean - centre) ** 2).mean(axis=0))
    for step in (mopo, mbpo):
        sample = np.concatenate([step.next_obs - one.obs, step.reward[:, None]], axis=1)
        np.testing.assert_allclose(sample.mean(axis=0), centre, atol=5 * spread.max() / np.sqrt(n))
        np.testing.assert_allclose(sample.std(axis=0), spread, rtol=0.03)


def test_updates_of_mopo_and_mbpo_are_the_same():
    """Pessimism lies in the model's reward alone; logged rows pass unpenalised."""
    mopo, mbpo = make("mopo", penalty_coef=1e6), make("mbpo")
    assert (mopo.real_rows, mopo.model_rows) == (mbpo.real_rows, mbpo.model_rows)
    state, batch = jax.jit(mopo.init)(jax.random.key(0), NORMALISER), batch_for(mopo)
    results = [jax.jit(a.update)(jax.random.key(1), state, batch, model_params()) for a in (mopo, mbpo)]
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_array_equal(a, b)


def test_actions_of_a_rollout_are_the_policys():
    algorithm = make("mbpo")
    policy = algorithm.policy(jax.jit(algorithm.init)(jax.random.key(0), NORMALISER))
    obs = jnp.zeros((4, OBS))
    got = algorithm.rollout_act(policy, jax.random.key(1), obs)
    assert got.shape == (4, ACTIONS)
    np.testing.assert_array_equal(got, algorithm.act(policy, jax.random.key(1), obs))


def test_all_epochs_run_the_program_of_the_first():
    """A weak type, a changed shape or an array closed over would trace, and compile, again in a later epoch."""
    trainer = Trainer("mopo", 2, "vmap", 2)
    for seeds in ((0, 1), (3, 9)):
        for _, metrics in trainer.train(seeds, 3):
            assert {"rollout_reward", "uncertainty", "penalty", "critic_loss"} <= set(metrics)
            assert all(np.isfinite(value).all() and value.shape == (2,) for value in metrics.values())
    assert trainer.traces == 1
