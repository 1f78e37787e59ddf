"""The policy's losses, its schedule, and how it acts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from orl.agents.actor import (
    actor_optimiser,
    cloning_loss,
    init_policy,
    make_act,
    make_actor,
    make_sample,
    soft_policy_loss,
    temperature_loss,
    uniform_act,
)
from orl.agents.config import PolicyConfig
from orl.data.normalise import Normaliser, identity_normaliser

pytestmark = pytest.mark.usefixtures("quick_compiles")
CONFIG = PolicyConfig(hidden=(8,))
OBS = jax.random.normal(jax.random.key(3), (6, 3))


@pytest.fixture(scope="module")
def policy():
    actor = make_actor(CONFIG, 2)
    return actor, init_policy(actor, jax.random.key(0), identity_normaliser(3))


def test_soft_policy_loss_by_hand():
    """((.5)(-1) - 2 + (.5)(3) - (-4)) / 2: the minimum over critics row by row, entropy rewarded."""
    q = jnp.array([[2.0, 5.0], [3.0, -4.0]])
    assert float(soft_policy_loss(jnp.array([-1.0, 3.0]), q, jnp.array(0.5))) == pytest.approx(1.5)


def test_policy_gradient_pushes_q_up_through_the_lower_critic_only():
    q = jnp.array([[2.0, 5.0], [3.0, -4.0]])
    grad = jax.grad(soft_policy_loss, argnums=1)(jnp.zeros(2), q, jnp.array(0.5))
    np.testing.assert_allclose(grad, [[-0.5, 0.0], [0.0, -0.5]])


@pytest.mark.parametrize(("log_prob", "direction"), [([3.0, 5.0], 1.0), ([-9.0, -3.0], -1.0)])
def test_alpha_rises_exactly_when_entropy_is_below_its_target(log_prob, direction):
    """Target -2 nats: entropy -4 is too little, so alpha must rise; 6 is too much. By gradient and one Adam step."""
    log_alpha = jnp.array(0.3)
    grad = jax.grad(temperature_loss)(log_alpha, jnp.array(log_prob), -2.0)
    assert float(grad) == pytest.approx(-(np.mean(log_prob) - 2.0))
    adam = optax.adam(0.01)
    step, _ = adam.update(grad, adam.init(log_alpha))
    assert float(step) == pytest.approx(0.01 * direction, rel=1e-4)


def test_temperature_does_not_move_the_policy():
    grad = jax.grad(temperature_loss, argnums=1)(jnp.array(0.3), jnp.array([1.0, 2.0]), -2.0)
    np.testing.assert_array_equal(grad, 0.0)


def test_cloning_loss_by_hand():
    """Squared distances 0.25 + 1 and 0, mean over rows and not over dimensions."""
    loss = cloning_loss(jnp.array([[0.5, 0.0], [0.1, 0.2]]), jnp.array([[0.0, 1.0], [0.1, 0.2]]))
    assert float(loss) == pytest.approx(0.625)


def test_cosine_schedule_falls_from_the_rate_to_zero():
    """Steps of Adam under a constant gradient are the learning rate itself."""
    total = 10
    adam = actor_optimiser(PolicyConfig(actor_learning_rate=0.1, actor_cosine=True), total)
    param, state, steps = jnp.array(0.0), adam.init(jnp.array(0.0)), []
    for _ in range(total + 2):
        step, state = adam.update(jnp.array(1.0), state, param)
        steps.append(-float(step))
    want = 0.05 * (1 + np.cos(np.pi * np.arange(total + 2) / total))
    want[total:] = 0.0
    np.testing.assert_allclose(steps, want, atol=1e-6)


def test_without_cosine_the_rate_is_constant():
    adam = actor_optimiser(PolicyConfig(actor_learning_rate=0.1), 3)
    state = adam.init(jnp.array(0.0))
    for _ in range(6):
        step, state = adam.update(jnp.array(1.0), state)
        assert float(step) == pytest.approx(-0.1, rel=1e-3)


def test_without_a_key_the_policy_plays_tanh_of_its_mean(policy):
    actor, params = policy
    act = make_act(actor)
    mean, _ = actor.apply(params.actor, OBS)
    np.testing.assert_array_equal(act(params, None, OBS), jnp.tanh(mean))


def test_with_a_key_it_samples_what_sample_samples(policy):
    actor, params = policy
    action = make_act(actor)(params, jax.random.key(1), OBS)
    same, log_prob = make_sample(actor)(params, jax.random.key(1), OBS)
    np.testing.assert_array_equal(action, same)
    assert action.shape == (6, 2)
    assert log_prob.shape == (6,)
    assert np.abs(action).max() <= 1.0
    assert not np.allclose(action, make_act(actor)(params, jax.random.key(2), OBS))


def test_many_actions_of_one_observation_are_those_of_its_copies(policy):
    actor, params = policy
    many = make_sample(actor)(params, jax.random.key(1), OBS, 5)
    copies = make_sample(actor)(params, jax.random.key(1), jnp.repeat(OBS[:, None], 5, axis=1))
    assert many[0].shape == (6, 5, 2)
    for a, b in zip(many, copies, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_extreme_observations_stay_in_the_box_and_finite(policy):
    actor, params = policy
    action, log_prob = make_sample(actor)(params, jax.random.key(1), 1e4 * OBS)
    assert np.isfinite(action).all()
    assert np.abs(action).max() <= 1.0
    assert np.isfinite(log_prob).all()


def test_policy_sees_standardised_observations(policy):
    actor, params = policy
    shifted = params._replace(normaliser=Normaliser(jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 4.0, 0.5])))
    raw = OBS * shifted.normaliser.std + shifted.normaliser.mean
    act = make_act(actor)
    np.testing.assert_allclose(act(shifted, None, raw), act(params, None, OBS), atol=1e-5)


def test_uniform_policy_fills_the_box_and_needs_a_key():
    act = uniform_act(2)
    action = np.asarray(act((), jax.random.key(0), jnp.zeros((20_000, 3))))
    assert action.shape == (20_000, 2)
    assert action.min() >= -1.0
    assert action.max() <= 1.0
    np.testing.assert_allclose(action.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(action.var(axis=0), 1 / 3, atol=0.01)
    with pytest.raises(ValueError, match="needs a key"):
        act((), None, OBS)
