"""The conservative term's formulae: duality, the importance-sampled log-sum-exp, the gap, the multiplier."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate
from scipy.special import logsumexp

from orl.agents.conservative import (
    conservative_gap,
    expectation_gap,
    importance_logsumexp,
    lagrange_loss,
    uniform_log_density,
)
from orl.distributions import sample_tanh_gaussian

pytestmark = pytest.mark.usefixtures("quick_compiles")
K = 3.0  # curvature of the value Q(a) = -K a^2
EXACT = np.log(integrate.quad(lambda a: np.exp(-K * a * a), -1, 1)[0])
TOLERANCE = 0.05  # 1000 + 1000 samples: about three standard deviations


def value(action):
    return -K * action[..., 0] ** 2


def proposals(rows, count, seed=0):
    """Values and log-densities [rows, 2 * count] of uniform and of policy actions."""
    uniform_key, policy_key = jax.random.split(jax.random.key(seed))
    uniform = jax.random.uniform(uniform_key, (rows, count, 1), minval=-1.0, maxval=1.0)
    policy, density = sample_tanh_gaussian(policy_key, jnp.zeros_like(uniform), jnp.full(uniform.shape, -0.5))
    log_density = jnp.concatenate([jnp.full((rows, count), uniform_log_density(1)), density], axis=1)
    return value(jnp.concatenate([uniform, policy], axis=1)), log_density


def test_exact_value_is_the_one_in_our_notes():
    assert pytest.approx(0.00865, abs=5e-6) == EXACT


def test_importance_logsumexp_finds_the_integral():
    """C8."""
    q, density = proposals(1, 1000)
    assert float(importance_logsumexp(q, density)[0]) == pytest.approx(EXACT, abs=TOLERANCE)


def test_few_samples_a_state_are_right_on_average():
    """10 + 10 samples: -0.004 by our notes, from Jensen's inequality a little below the truth."""
    q, density = proposals(4000, 10, seed=1)
    got = np.asarray(importance_logsumexp(q, density))
    assert got.mean() == pytest.approx(-0.004, abs=0.02)
    assert got.mean() < EXACT


def test_the_slips_of_others_are_outside_the_tolerance():
    """A missing density, the density of a box of width 1, no log N, three samples at a time: each is seen by C8."""
    q, density = proposals(1, 1000)
    right = float(importance_logsumexp(q, density)[0])
    missing = float(importance_logsumexp(q, jnp.zeros_like(density))[0])
    width_one = float(importance_logsumexp(q, density.at[:, :1000].set(0.0))[0])
    no_log_n = right + np.log(2000)
    thirds = importance_logsumexp(q[:, :1998].reshape(-1, 3), density[:, :1998].reshape(-1, 3)).mean()
    for wrong in (missing, width_one, no_log_n, float(thirds)):
        assert abs(wrong - EXACT) > TOLERANCE, wrong


def test_dropped_reshape_of_a_peer_is_lower():
    """OfflineRL-Kit's log-sum-exp runs over 3 samples a repeated row: lower than ours over all, by Jensen."""
    rng = np.random.default_rng(0)
    q = jnp.asarray(3.0 * rng.normal(size=(200, 30)))
    joint = importance_logsumexp(q, jnp.zeros_like(q)).mean()
    threes = importance_logsumexp(q.reshape(200, 10, 3), jnp.zeros((200, 10, 3))).mean()
    want = (logsumexp(np.asarray(q), axis=1) - np.log(30)).mean()
    assert float(joint) == pytest.approx(want, abs=1e-4)
    assert float(threes) < want - 0.5


def test_log_n_is_subtracted():
    """Equal values with density 1 give the value itself, however many samples."""
    for n in (1, 3, 30):
        assert float(importance_logsumexp(jnp.full(n, 2.5), jnp.zeros(n))) == pytest.approx(2.5, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_interpolates_between_maximum_and_mean(temperature):
    q = np.array([0.3, -1.0, 2.0])
    want = temperature * (logsumexp(q / temperature) - np.log(3))
    assert float(importance_logsumexp(jnp.asarray(q), jnp.zeros(3), temperature)) == pytest.approx(want, abs=1e-6)


def test_large_values_do_not_overflow():
    assert float(importance_logsumexp(jnp.array([1e4, 0.0]), jnp.zeros(2))) == pytest.approx(1e4 - np.log(2), rel=1e-6)


def test_duality_of_log_sum_exp():
    """C7: max_p {E_p Q + H(p)} = log sum exp Q, attained by the softmax and beaten by no other distribution."""
    rng = np.random.default_rng(1)
    q = rng.normal(size=6) * 2
    bound = float(importance_logsumexp(jnp.asarray(q), jnp.zeros(6))) + np.log(6)  # a sum over actions, not a mean

    def objective(p):
        return p @ q - p @ np.log(p)

    softmax = np.exp(q - logsumexp(q))
    assert bound == pytest.approx(objective(softmax), abs=1e-5)
    for p in rng.dirichlet(np.ones(6), size=200):
        assert objective(p) <= bound + 1e-5


@pytest.mark.parametrize("dim", [1, 3])
def test_uniform_density_is_one_over_the_volume_of_the_box(dim):
    assert np.exp(uniform_log_density(dim)) * 2**dim == pytest.approx(1.0)


def test_gap_by_hand():
    """Critic 1: soft maxima 2 and 4, logged mean 1; critic 2: all equal 7."""
    q = jnp.array([[[2.0, 2.0], [4.0, 4.0]], [[7.0, 7.0], [7.0, 7.0]]])
    logged = jnp.array([[0.0, 1.0, 2.0], [7.0, 7.0, 7.0]])
    np.testing.assert_allclose(conservative_gap(q, jnp.zeros((2, 2)), logged), [2.0, 0.0], atol=1e-6)


def test_gap_averages_states_after_the_log_sum_exp():
    q = jnp.array([[[0.0, 3.0], [1.0, -2.0]]])
    density = jnp.array([[-0.5, 0.2], [0.1, -0.7]])
    rows = logsumexp(np.asarray(q[0] - density), axis=1) - np.log(2)
    got = conservative_gap(q, density, jnp.zeros((1, 1)))
    np.testing.assert_allclose(got, [rows.mean()], rtol=1e-6)


def test_gap_pushes_sampled_values_up_in_loss_and_logged_values_down():
    """C9 at the level of the formula: the softmax over the samples, less one over the logged rows."""
    q, density, logged = jnp.array([[[0.0, 3.0]]]), jnp.array([[0.3, -0.4]]), jnp.array([[0.5, 1.0]])
    sampled, data = jax.grad(lambda q, d: conservative_gap(q, density, d).sum(), argnums=(0, 1))(q, logged)
    weights = np.exp(np.array([-0.3, 3.4]) - logsumexp([-0.3, 3.4]))
    np.testing.assert_allclose(sampled[0, 0], weights, rtol=1e-5)
    np.testing.assert_allclose(data, -0.5)


def test_expectation_gap_by_hand():
    got = expectation_gap(jnp.array([[1.0, 3.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0, 4.0], [2.0, 2.0, 2.0]]))
    np.testing.assert_allclose(got, [0.0, -2.0])


@pytest.mark.parametrize(("gap", "sign"), [([6.0, 8.0], 1.0), ([1.0, 2.0], -1.0)])
def test_multiplier_rises_while_the_gap_is_above_its_threshold(gap, sign):
    log_weight, adam = jnp.array(0.5), optax.adam(0.01)
    grad = jax.grad(lagrange_loss)(log_weight, jnp.array(gap), 5.0)
    assert float(grad) == pytest.approx(-np.exp(0.5) * (np.mean(gap) - 5.0), rel=1e-6)
    step, _ = adam.update(grad, adam.init(log_weight))
    assert float(step) == pytest.approx(0.01 * sign, rel=1e-4)


def test_multiplier_does_not_move_the_critic():
    grad = jax.grad(lagrange_loss, argnums=1)(jnp.array(0.5), jnp.array([6.0, 8.0]), 5.0)
    np.testing.assert_array_equal(grad, 0.0)
