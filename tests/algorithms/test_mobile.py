"""MOBILE: its uncertainty exact in tables and for linear values, and where it is subtracted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble
from tiny_problem import ENSEMBLE, NORMALISER, batch_for, make, model_params, random_rows

from orl.agents.actor import make_actor, make_sample
from orl.agents.sac import make_sac
from orl.algorithms import mobile
from orl.algorithms.base import Problem
from orl.algorithms.mobile import MobileConfig, bellman_inconsistency, build, caution, inconsistency, mobile_backup
from orl.data.normalise import identity_normaliser
from orl.errors import UsageError
from orl.types import Batch, Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
LINEAR = MobileConfig(hidden=(), samples=4000)
# changes of two observations, then the reward
MEANS = np.asarray([[0.0, 1.0, 9.0], [1.0, 0.0, 9.0], [2.0, -2.0, 9.0], [5.0, 5.0, 5.0]])  # the last is no elite
ELITES = (0, 1, 2)
TINY = {"hidden": (8,), "samples": 3}


def linear_state(weights, biases):
    """A state whose policy always acts 0 and whose target critics are linear in the observation."""
    sac = make_sac(LINEAR, 1, 10)
    state = sac.init(jax.random.key(0), identity_normaliser(2))
    actor = jax.tree.map(jnp.zeros_like, state.policy.actor)
    actor["params"]["MLP_0"]["Dense_0"]["bias"] = jnp.array([0.0, -20.0])
    (name,) = state.target_critic["params"]
    kernel = jnp.concatenate([jnp.asarray(weights, jnp.float32), jnp.zeros((2, 1))], axis=1)[:, :, None]
    target = {"params": {name: {"Dense_0": {"kernel": kernel, "bias": jnp.asarray(biases, jnp.float32)[:, None]}}}}
    return state._replace(policy=state.policy._replace(actor=actor), target_critic=target)


def u_of(std, weights, biases=(0.0, 0.0), rows=None, config=LINEAR, means=MEANS):
    """u [B] of an ensemble that adds `means` with spread `std`, by critics linear in the next observation."""
    ensemble, params = constant_ensemble(means, np.full_like(means, std), ELITES)
    rows = rows or Transition(jnp.array([[0.0, 0.0], [1.0, 2.0]]), jnp.zeros((2, 1)), *[jnp.zeros(2)] * 3)
    sample = make_sample(make_actor(config, 1))
    state = linear_state(weights, biases)
    measure = jax.jit(lambda key, *rest: inconsistency(config, ensemble, sample, key, *rest))
    return np.asarray(measure(jax.random.key(1), state, params, rows))


def test_tabular_uncertainty_equals_its_sampled_form():
    """B1: std_i of P_i V, no discount, ddof 1; the sampled form within four standard errors."""
    rng = np.random.default_rng(0)
    p, v = rng.dirichlet(np.ones(4), size=5), rng.normal(size=4)
    exact = (p @ v).std(ddof=1)
    values = np.stack([rng.choice(v, size=(2, 40_000), p=row) for row in p], axis=1)  # [2, elites, samples]
    got = bellman_inconsistency(jnp.asarray(values))
    np.testing.assert_allclose(got, exact, atol=4 * v.std() / np.sqrt(40_000) * 2)
    np.testing.assert_allclose(bellman_inconsistency(jnp.asarray((p @ v)[None, :, None])), exact, rtol=1e-5)


def test_spread_is_the_sample_standard_deviation():
    """Means 0, 1, 2, 3, 4: ddof 1 gives sqrt(2.5); NumPy's default, sqrt(2), is smaller by sqrt(4/5)."""
    values = jnp.arange(5.0)[:, None] + jnp.array([-1.0, 0.0, 1.0])
    assert float(bellman_inconsistency(values)) == pytest.approx(np.sqrt(2.5))


def test_linear_values_give_the_spread_of_the_elites_means():
    """B1: V = (s'_1 + 2 s'_2) has E_i[V] = V(mean_i); 2, 1, -2 for the elites, wherever the row is; discount free."""
    exact = np.asarray([2.0, 1.0, -2.0]).std(ddof=1)
    noisy = u_of(0.5, [[1.0, 2.0]] * 2)
    np.testing.assert_allclose(noisy, [exact, exact], atol=5 * 0.5 * np.sqrt(5) / np.sqrt(4000))
    np.testing.assert_allclose(u_of(0.0, [[1.0, 2.0]] * 2), [exact, exact], rtol=1e-5)


def test_values_are_the_minimum_over_the_target_critics():
    """min(s'_1, s'_2 + 1) at the elites' means."""
    obs = np.asarray([[0.0, 0.0], [1.0, 2.0]])
    after = obs[:, None] + MEANS[None, :3, :2]
    want = np.minimum(after[..., 0], after[..., 1] + 1.0).std(axis=1, ddof=1)
    np.testing.assert_allclose(u_of(0.0, [[1.0, 0.0], [0.0, 1.0]], (0.0, 1.0)), want, rtol=1e-5)


def test_disagreement_that_no_value_sees_counts_nothing():
    """B2: members differ along s'_1 only where V reads s'_2 alone, and where V is constant."""
    rows = Transition(jnp.zeros((1, 2)), jnp.zeros((1, 1)), *[jnp.zeros(1)] * 3)
    means, config = MEANS * [1, 0, 0], MobileConfig(hidden=(), samples=2)
    ensemble, params = constant_ensemble(means, np.zeros_like(means), ELITES)
    mean = np.asarray(ensemble.predict(params, rows.obs, rows.action).mean)[list(ELITES), 0, :2]
    assert max(np.linalg.norm(a - b) for a in mean for b in mean) == pytest.approx(2.0)

    def u(weights):
        return float(u_of(0.0, weights, rows=rows, config=config, means=means)[0])

    assert u([[0.0, 3.0]] * 2) == pytest.approx(0.0, abs=1e-5)
    assert u([[0.0, 0.0]] * 2) == 0.0
    assert u([[0.5, 3.0]] * 2) == pytest.approx(0.5)  # 0, 1, 2 times 0.5


@pytest.mark.parametrize("cached", [100, 960])
def test_chunks_change_nothing(monkeypatch, cached):
    """60 rows of 48 samples: at once, two and twenty at a time. Each row has its own samples around the exact u."""
    rows = Transition(jnp.ones((60, 2)), jnp.zeros((60, 1)), *[jnp.zeros(60)] * 3)
    config, results = MobileConfig(hidden=(), samples=16), []
    for size in (None, cached):
        monkeypatch.setattr(mobile, "cached_rows", lambda size=size: size)
        results.append(u_of(0.5, [[1.0, 2.0]] * 2, rows=rows, config=config))
    np.testing.assert_allclose(results[1], results[0], atol=1e-5)
    assert len(set(np.round(results[0], 6))) > 50
    assert results[0].mean() == pytest.approx(np.asarray([2.0, 1.0, -2.0]).std(ddof=1), abs=0.1)


def backed(config, target, real=5):
    """The backup of `target` with 5 logged rows first."""
    algorithm = make("mobile")
    ensemble, sample = ENSEMBLE, make_sample(make_actor(config, 2))
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
    rows = random_rows(jax.random.key(2), len(target))
    batch = Batch(*(jax.tree.map(part, rows) for part in (lambda x: x[:real], lambda x: x[real:])))
    backup = jax.jit(mobile_backup(config, ensemble, sample))
    after, metrics = backup(jax.random.key(3), state, batch, model_params(), target)
    measure = jax.jit(lambda key, *rest: inconsistency(config, ensemble, sample, key, *rest))
    return np.asarray(after), metrics, np.asarray(measure(jax.random.key(3), state, model_params(), batch.model))


def test_only_targets_of_model_rows_are_lowered_by_beta_u():
    target = jnp.linspace(-1.0, 1.0, 12)
    after, metrics, u = backed(MobileConfig(**TINY, penalty_coef=2.5, nonnegative_targets=False), target)
    assert u.min() > 0.0
    np.testing.assert_array_equal(after[:5], target[:5])
    np.testing.assert_allclose(after[5:], target[5:] - 2.5 * u, atol=1e-6)
    assert float(metrics["uncertainty"]) == pytest.approx(u.mean(), rel=1e-5)
    assert float(metrics["penalty"]) == pytest.approx(2.5 * u.mean(), rel=1e-5)


def test_targets_below_zero_are_raised_to_it_by_default():
    """B3: with negative rewards and values every target is 0, whatever was earned; the setting keeps them."""
    target = jnp.linspace(-9.0, -1.0, 12)
    after, metrics, _ = backed(MobileConfig(**TINY), target)
    np.testing.assert_array_equal(after, np.zeros(12))
    assert float(metrics["raised_targets"]) == 1.0
    after, metrics, _ = backed(MobileConfig(**TINY, nonnegative_targets=False), target)
    np.testing.assert_array_equal(after[:5], target[:5])
    assert "raised_targets" not in metrics
    after, metrics, u = backed(MobileConfig(**TINY, penalty_coef=0.5), target + 8.0)
    np.testing.assert_allclose(after[5:], np.maximum(target[5:] + 8.0 - 0.5 * u, 0.0), atol=1e-5)
    assert 0.0 < float(metrics["raised_targets"]) < 1.0


def test_negative_rewards_are_said_before_training():
    rows = random_rows(jax.random.key(0), 4)._replace(reward=jnp.array([-1.0, 2.0, -3.0, -0.5]))
    assert "75% of the logged rewards are negative" in caution(MobileConfig(), rows)
    assert "agent.nonnegative_targets=false" in caution(MobileConfig(), rows)
    assert caution(MobileConfig(nonnegative_targets=False), rows) == ""
    assert caution(MobileConfig(), rows._replace(reward=jnp.zeros(4))) == ""


def test_without_its_weight_and_clamps_it_is_mbpo_bit_for_bit():
    settings = {"deterministic_backup": True, "max_alpha": 1.0}
    mobile, mbpo = make("mobile", penalty_coef=0.0, nonnegative_targets=False), make("mbpo", **settings)
    state, batch = jax.jit(mobile.init)(jax.random.key(0), NORMALISER), batch_for(mobile)
    states = []
    for algorithm in (mobile, mbpo):
        after, update = state, jax.jit(algorithm.update)
        for key in jax.random.split(jax.random.key(1), 4):
            after, _ = update(key, after, batch, model_params())
        states.append(after)
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    rows, key = random_rows(jax.random.key(2), 8), jax.random.key(3)
    for a, b in zip(*(x.step(model_params(), key, rows.obs, rows.action) for x in (mobile, mbpo)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_penalty_reaches_the_critics():
    """Against the same update without it: the values of model rows are drawn down."""
    free, held = (make("mobile", penalty_coef=beta, nonnegative_targets=False, real_ratio=0.0) for beta in (0.0, 50.0))
    batch, values = batch_for(free), []
    for algorithm in (free, held):
        state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
        scan = jax.jit(
            lambda s, ks, a=algorithm: jax.lax.scan(lambda s, k: a.update(k, s, batch, model_params()), s, ks)
        )
        values.append(float(scan(state, jax.random.split(jax.random.key(1), 300))[1]["q"][-1]))
    assert values[1] < values[0] - 0.05


@pytest.mark.parametrize(("name", "used"), [("mobile", 1.0), ("mbpo", float(np.exp(2.0)))])
def test_the_temperature_is_capped_where_it_is_used(name, used):
    algorithm = make(name)
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)._replace(log_alpha=jnp.asarray(2.0))
    _, metrics = jax.jit(algorithm.update)(jax.random.key(1), state, batch_for(algorithm), model_params())
    assert float(metrics["alpha"]) == pytest.approx(used)


def test_one_elite_is_refused():
    ensemble, _ = constant_ensemble(MEANS, np.ones_like(MEANS), (0,))
    with pytest.raises(UsageError, match=r"model\.elites is 1; mobile compares the elites"):
        build(MobileConfig(), Problem(2, 1, 10, ensemble))
