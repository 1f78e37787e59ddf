"""The conservative term as the critic sees it: which actions, which densities, and in which direction it pushes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from orl.agents.actor import PolicyParams
from orl.agents.conservative import uniform_log_density
from orl.agents.regularisers import ConservativeConfig, conservative_regulariser, sampled_actions
from orl.agents.sac import SacState, critic_values, make_sac
from orl.algorithms.cql import CqlConfig
from orl.data.normalise import identity_normaliser
from orl.distributions import sample_tanh_gaussian, tanh_gaussian_log_prob
from orl.types import Batch, Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
BINS = 10
COUNT = 4
LOG_STD = 0.2  # wide: the importance weights of a narrow proposal have a heavy tail


def linear_sample(params, key, obs, count):
    """A policy whose mean is the observation's first entry times a parameter: easy to tell s from s'."""
    mean = jnp.repeat(params.actor * obs[..., None, :1], count, axis=-2)
    return sample_tanh_gaussian(key, mean, jnp.full_like(mean, LOG_STD))


def binned_q(critic, normaliser, obs, action):
    """Values from a table [K, BINS] over the one action in [-1, 1]; states do not matter."""
    index = jnp.clip(((action[..., 0] + 1.0) * BINS / 2).astype(int), 0, BINS - 1)
    return critic[:, index]


def state_with(regulariser=()):
    policy = PolicyParams(jnp.array(1.0), identity_normaliser(1))
    return SacState(policy, *[None] * 6, regulariser=regulariser)


def rows(obs, action, next_obs):
    n = len(obs)
    column = [jnp.asarray(x, jnp.float32).reshape(n, 1) for x in (obs, action, next_obs)]
    return Transition(column[0], column[1], jnp.zeros(n), column[2], jnp.zeros(n))


def test_actions_come_in_three_blocks_with_the_density_each_was_drawn_with():
    """Uniform, then pi(.|s), then pi(.|s') with the density under s', not under the s it is evaluated at."""
    obs, next_obs = jnp.array([[0.5], [-0.5]]), jnp.array([[-0.6], [0.7]])
    actions, density = sampled_actions(linear_sample, state_with(), jax.random.key(0), obs, next_obs, COUNT, 1)
    assert actions.shape == (2, 3 * COUNT, 1)
    assert density.shape == (2, 3 * COUNT)
    np.testing.assert_allclose(density[:, :COUNT], uniform_log_density(1), rtol=1e-6)
    for block, at in ((slice(COUNT, 2 * COUNT), obs), (slice(2 * COUNT, None), next_obs)):
        want = tanh_gaussian_log_prob(actions[:, block], at[:, None], jnp.full((1, 1, 1), LOG_STD))
        np.testing.assert_allclose(density[:, block], want, atol=2e-3)


def test_each_block_follows_its_own_law():
    count = 5000
    obs, next_obs = jnp.array([[0.8]]), jnp.array([[-0.8]])
    actions, _ = sampled_actions(linear_sample, state_with(), jax.random.key(0), obs, next_obs, count, 1)
    uniform, here, beyond = np.asarray(actions[0, :, 0]).reshape(3, count)
    assert uniform.mean() == pytest.approx(0.0, abs=0.03)
    assert uniform.var() == pytest.approx(1 / 3, abs=0.015)
    assert np.arctanh(here).mean() == pytest.approx(0.8, abs=0.03)
    assert np.arctanh(beyond).mean() == pytest.approx(-0.8, abs=0.03)


def test_dimensions_count_in_the_uniform_density():
    def sample(params, key, obs, count):
        mean = jnp.zeros((*obs.shape[:-1], count, 3))
        return sample_tanh_gaussian(key, mean, mean)

    _, density = sampled_actions(
        sample, state_with(), jax.random.key(0), jnp.zeros((2, 1)), jnp.zeros((2, 1)), COUNT, 3
    )
    np.testing.assert_allclose(density[:, :COUNT], 3 * np.log(0.5), rtol=1e-6)


def tabular(config, data, rho=None):
    """(loss of a table [K, BINS], the same of the actor's parameter) for a batch of logged rows."""
    batch = Batch(data, jax.tree.map(lambda x: x[:0], data))
    rho = rho or (lambda batch: (batch.real.obs, batch.real.next_obs))
    regulariser = conservative_regulariser(config, binned_q, linear_sample, 1, rho)
    state = state_with(regulariser.init())

    def loss(table, actor=1.0):
        policy = state.policy._replace(actor=actor)
        return regulariser.loss(jax.random.key(1), state._replace(policy=policy), table, batch)[0]

    return loss


@pytest.mark.parametrize("threshold", [0.0, 3.0])
def test_gradient_pushes_out_of_data_values_down_and_logged_values_up(threshold):
    """C9. A peer's stop_gradient on the sampled values leaves the first of these at zero."""
    config = ConservativeConfig(conservative_weight=2.0, actions_per_source=200, lagrange_threshold=threshold)
    data = rows([0.1, -0.1], [0.5, 0.5], [0.0, 0.0])  # both logged actions fall in bin 7
    table = jnp.asarray(np.random.default_rng(0).normal(size=(2, BINS)), jnp.float32)
    grad = np.asarray(jax.grad(tabular(config, data))(table))
    logged = int((0.5 + 1) * BINS / 2)
    out = np.delete(np.arange(BINS), logged)
    assert (grad[:, out] > 0).all()
    assert (grad[:, logged] < 0).all()
    np.testing.assert_allclose(grad.sum(axis=1), 0.0, atol=1e-4)  # a shift of all values changes nothing


def test_gradient_is_the_weight_times_softmax_less_data():
    """With 3 x 20,000 proposals the push-down is beta * softmax over the bins, whatever the policy."""
    config = ConservativeConfig(conservative_weight=0.7, actions_per_source=20_000)
    data = rows([0.3], [-0.95], [-0.4])
    table = np.linspace(-1.0, 2.0, BINS)[None]
    grad = np.asarray(jax.grad(tabular(config, data))(jnp.asarray(table, jnp.float32)))
    softmax = np.exp(table) / np.exp(table).sum()
    want = 0.7 * (softmax - np.eye(BINS)[:1])
    np.testing.assert_allclose(grad, want, atol=0.01)


def test_loss_is_the_weighted_sum_of_the_critics_gaps():
    """A constant table v: soft maximum v + log 2 (the volume), logged v, so each critic's gap is log 2."""
    config = ConservativeConfig(conservative_weight=3.0, actions_per_source=5000)
    loss = tabular(config, rows([0.0], [0.0], [0.0]))(jnp.array([[1.0] * BINS, [-5.0] * BINS]))
    assert float(loss) == pytest.approx(3.0 * 2 * np.log(2.0), rel=0.02)


def test_logged_pairs_are_the_real_rows_whatever_rho():
    """Sampled at the model's states, raised at logged pairs only."""
    real, model = rows([0.0], [0.5], [0.0]), rows([0.0, 0.0], [-0.9, -0.9], [0.0, 0.0])
    regulariser = conservative_regulariser(
        ConservativeConfig(actions_per_source=500),
        binned_q,
        linear_sample,
        1,
        lambda batch: (batch.model.obs, batch.model.next_obs),
    )
    grad = jax.grad(lambda t: regulariser.loss(jax.random.key(0), state_with(), t, Batch(real, model))[0])(
        jnp.zeros((1, BINS))
    )
    assert np.flatnonzero(np.asarray(grad[0]) < 0).tolist() == [7]


def test_no_gradient_reaches_the_actor():
    """The proposals are fixed: here neither their place nor their density may teach the policy."""

    def smooth_q(critic, normaliser, obs, action):
        return critic[:, None, None] * jnp.sum(action, -1)[None] if action.ndim == 3 else critic[:, None] * action[:, 0]

    data = rows([0.4], [0.5], [0.2])
    batch = Batch(data, data)
    regulariser = conservative_regulariser(
        ConservativeConfig(), smooth_q, linear_sample, 1, lambda b: (b.real.obs, b.real.next_obs)
    )

    def loss(actor, critic):
        state = state_with()
        state = state._replace(policy=state.policy._replace(actor=actor))
        return regulariser.loss(jax.random.key(0), state, critic, batch)[0]

    actor_grad, critic_grad = jax.grad(loss, argnums=(0, 1))(jnp.array(1.0), jnp.array([1.0, 2.0]))
    assert float(actor_grad) == 0.0
    assert (critic_grad != 0.0).all()


CQL = {"hidden": (8,), "actions_per_source": 5, "lagrange_learning_rate": 0.05, "conservative_weight": 2.0}


def test_multiplier_rises_with_the_gap_through_whole_updates():
    """A gap above the threshold: the reported weight starts as configured, its logarithm rises by Adam's rate."""
    config, updates = CqlConfig(**CQL, lagrange_threshold=1e-3), 3
    sample = make_sac(config, 1, 10).sample
    regulariser = conservative_regulariser(
        config, critic_values(config), sample, 1, lambda b: (b.real.obs, b.real.next_obs)
    )
    sac = make_sac(config, 1, 10, regulariser)
    data = rows([0.1, 0.4, -0.3], [0.5, -0.2, 0.9], [0.0, 0.2, -0.1])
    batch = Batch(data, jax.tree.map(lambda x: x[:0], data))
    state, update, weights = jax.jit(sac.init)(jax.random.key(0), identity_normaliser(1)), jax.jit(sac.update), []
    for key in jax.random.split(jax.random.key(1), updates):
        state, metrics = update(key, state, batch, ())
        assert float(metrics["conservative_gap"]) > 1e-3
        weights.append(float(metrics["conservative_weight"]))
    np.testing.assert_allclose(weights, 2.0 * np.exp(0.05 * np.arange(updates)), rtol=5e-3)


@pytest.mark.parametrize(("threshold", "factor"), [(1e-3, np.exp(0.05)), (50.0, np.exp(-0.05)), (0.0, 1.0)])
def test_multiplier_moves_with_the_sign_of_the_gap_less_its_threshold(threshold, factor):
    """The tabular gap is log 2 here; without a threshold the weight is fixed."""
    config = ConservativeConfig(conservative_weight=2.0, lagrange_threshold=threshold, lagrange_learning_rate=0.05)
    regulariser = conservative_regulariser(config, binned_q, linear_sample, 1, lambda b: b)
    gap = jnp.full(2, np.log(2.0))
    state, first = regulariser.update(regulariser.init(), gap)
    _, second = regulariser.update(state, gap)
    assert float(first["conservative_gap"]) == pytest.approx(np.log(2.0))
    assert float(first["conservative_weight"]) == pytest.approx(2.0)
    assert float(second["conservative_weight"]) == pytest.approx(2.0 * factor, rel=1e-3)


def test_zero_weight_with_a_multiplier_starts_near_zero_and_finite():
    config = ConservativeConfig(conservative_weight=0.0, lagrange_threshold=1.0)
    log_weight, _ = conservative_regulariser(config, binned_q, linear_sample, 1, lambda b: b).init()
    assert np.isfinite(log_weight)
    assert float(jnp.exp(log_weight)) < 1e-6


def test_multiplier_takes_part_in_the_critics_loss_but_not_in_its_gradient():
    """The critic's gradient carries the current weight; the weight itself learns by its own loss alone."""
    config = ConservativeConfig(conservative_weight=2.0, lagrange_threshold=1.0, actions_per_source=50)
    data = rows([0.0], [0.5], [0.0])
    regulariser = conservative_regulariser(config, binned_q, linear_sample, 1, lambda b: (b.real.obs, b.real.next_obs))
    log_weight, opt = regulariser.init()

    def loss(log_weight, table):
        state = state_with((log_weight, opt))
        return regulariser.loss(jax.random.key(0), state, table, Batch(data, data))[0]

    table = jnp.zeros((1, BINS))
    assert float(jax.grad(loss)(log_weight, table)) == 0.0
    single, double = (jax.grad(loss, argnums=1)(log_weight + d, table) for d in (0.0, np.log(2.0)))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-5, atol=1e-7)
    assert isinstance(opt, tuple)
    assert float(optax.tree.get(opt, "count")) == 0
