"""The critic's target and loss against tables worked by hand (arXiv:1812.05905, eqs. 5 and 6)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.agents.critic import polyak_average, soft_td_target, td_loss

REWARD = jnp.array([1.0, 1.0, -2.0, 0.0])
TERMINATED = jnp.array([0.0, 1.0, 0.0, 0.0])
NEXT_Q = jnp.array([[10.0, 10.0, 4.0, -1.0], [8.0, 50.0, 6.0, -3.0]])
NEXT_LOG_PROB = jnp.array([-1.0, 3.0, 0.5, 2.0])


def target(alpha, **changes):
    parts = {"reward": REWARD, "terminated": TERMINATED, "next_q": NEXT_Q, "next_log_prob": NEXT_LOG_PROB} | changes
    return soft_td_target(**parts, discount=0.9, alpha=alpha)


def test_target_by_hand():
    """1 + .9 (8 + .2); termination leaves the reward; -2 + .9 (4 - .1); 0 + .9 (-3 - .4)."""
    np.testing.assert_allclose(target(0.2), [8.38, 1.0, 1.51, -3.06], rtol=1e-6)


def test_zero_alpha_is_the_deterministic_backup():
    np.testing.assert_allclose(target(0.0), [8.2, 1.0, 1.6, -2.7], rtol=1e-6)


def test_minimum_is_over_critics_row_by_row():
    swapped = NEXT_Q[::-1]
    np.testing.assert_array_equal(target(0.2), target(0.2, next_q=swapped))
    np.testing.assert_allclose(target(0.0, next_q=NEXT_Q[:1]), [10.0, 1.0, 1.6, -0.9], rtol=1e-6)
    third = jnp.stack([*NEXT_Q, NEXT_Q[1] - 10])  # its row minima: -2, 40, -4, -13
    np.testing.assert_allclose(target(0.0, next_q=third), [-0.8, 1.0, -5.6, -11.7], rtol=1e-6)


def test_no_gradient_flows_through_the_target():
    """Otherwise the critic moves its target towards itself (residual gradients)."""

    def total(next_q, log_prob, alpha):
        return jnp.sum(target(alpha, next_q=next_q, next_log_prob=log_prob))

    for grad in jax.grad(total, argnums=(0, 1, 2))(NEXT_Q, NEXT_LOG_PROB, 0.2):
        np.testing.assert_array_equal(grad, 0.0)


def test_td_loss_has_the_half_and_sums_over_critics():
    """Critic 1: (1 + 4) / 2 / 2; critic 2: (0 + 9) / 2 / 2."""
    loss = td_loss(jnp.array([[1.0, 2.0], [2.0, 7.0]]), jnp.array([2.0, 4.0]))
    assert float(loss) == pytest.approx(1.25 + 2.25)


def test_td_gradient_is_the_error_over_the_batch_for_each_critic():
    """The 1/2 is what makes the conservative weight the paper's beta; a mean over critics would halve each gradient."""
    q, y = jnp.array([[1.0, 2.0], [2.0, 7.0]]), jnp.array([2.0, 4.0])
    np.testing.assert_allclose(jax.grad(td_loss)(q, y), (q - y) / 2)


def test_polyak_moves_the_target_by_the_share_of_the_online_critic():
    got = polyak_average({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([11.0, -2.0])}, 0.1)
    np.testing.assert_allclose(got["w"], [2.0, 1.6], rtol=1e-6)


@pytest.mark.parametrize(("share", "want"), [(0.0, 1.0), (1.0, 3.0)])
def test_polyak_ends(share, want):
    assert float(polyak_average(jnp.array(1.0), jnp.array(3.0), share)) == want
