"""Stacks of networks: independent members, shapes, and the clip of the log standard deviation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.networks import LOG_STD_MAX, LOG_STD_MIN, MLP, Actor, Critics, stacked, truncated_fan_in

KEY = jax.random.key(0)


def member(params, index):
    """The parameters of one member of a stack, under the names a single MLP gives them."""
    inner = params["params"]
    inner = next(iter(inner.values())) if "Dense_0" not in inner else inner
    return {"params": jax.tree.map(lambda leaf: leaf[index], inner)}


def mlp_by_hand(params, x):
    """ReLU perceptron in float64 NumPy from flax's parameter names."""
    layers = params["params"]
    for i in range(len(layers)):
        x = x @ np.asarray(layers[f"Dense_{i}"]["kernel"], np.float64) + np.asarray(layers[f"Dense_{i}"]["bias"])
        x = np.maximum(x, 0.0) if i + 1 < len(layers) else x
    return x


def test_mlp_is_affine_maps_with_relu_between():
    net = MLP((5, 4), 3)
    x = jax.random.normal(KEY, (6, 2))
    params = net.init(KEY, x)
    np.testing.assert_allclose(net.apply(params, x), mlp_by_hand(params, np.asarray(x)), atol=1e-5)


def test_layer_norm_standardises_each_hidden_row():
    """With LayerNorm the scale of the input is lost (biases are 0 at the start)."""
    net = MLP((8,), 1, layer_norm=True)
    x = jax.random.normal(KEY, (4, 3))
    params = net.init(KEY, x)
    np.testing.assert_allclose(net.apply(params, x), net.apply(params, 100.0 * x), atol=1e-3)


def test_stack_on_one_input_equals_each_member_alone():
    net, x = stacked(3, shared_input=True)((4,), 2), jax.random.normal(KEY, (5, 2))
    params = net.init(KEY, x)
    out = net.apply(params, x)
    assert out.shape == (3, 5, 2)
    for i in range(3):
        np.testing.assert_allclose(out[i], mlp_by_hand(member(params, i), np.asarray(x)), atol=1e-5)


def test_stack_with_an_input_a_member_routes_each_to_its_own():
    net, x = stacked(3, shared_input=False)((4,), 2), jax.random.normal(KEY, (3, 5, 2))
    params = net.init(KEY, x)
    out = net.apply(params, x)
    assert out.shape == (3, 5, 2)
    for i in range(3):
        np.testing.assert_allclose(out[i], mlp_by_hand(member(params, i), np.asarray(x[i])), atol=1e-5)


def test_members_start_different_and_learn_apart():
    net, x = stacked(2, shared_input=True)((4,), 1), jax.random.normal(KEY, (5, 2))
    params = net.init(KEY, x)
    for leaf in jax.tree.leaves(params):
        if leaf.ndim == 3:  # kernels
            assert not np.allclose(leaf[0], leaf[1])
    grads = jax.grad(lambda p: jnp.sum(net.apply(p, x)[0]))(params)
    for leaf in jax.tree.leaves(grads):
        np.testing.assert_array_equal(leaf[1], 0.0)


def test_critics_are_k_perceptrons_of_obs_and_action():
    critics = Critics((6,), critics=3)
    obs, action = jax.random.normal(KEY, (4, 3)), jax.random.normal(jax.random.key(1), (4, 2))
    params = critics.init(KEY, obs, action)
    q = critics.apply(params, obs, action)
    assert q.shape == (3, 4)
    x = np.concatenate([obs, action], axis=-1)
    for k in range(3):
        np.testing.assert_allclose(q[k], mlp_by_hand(member(params, k), x)[:, 0], atol=1e-5)


def test_critics_take_several_actions_a_state():
    """[K, B, N] as the conservative term needs it, equal to N calls with one action each."""
    critics = Critics((6,), critics=2)
    obs, action = jax.random.normal(KEY, (4, 3)), jax.random.normal(jax.random.key(1), (4, 5, 2))
    params = critics.init(KEY, obs, action[:, 0])
    q = critics.apply(params, jnp.broadcast_to(obs[:, None], (4, 5, 3)), action)
    assert q.shape == (2, 4, 5)
    for n in range(5):
        np.testing.assert_allclose(q[..., n], critics.apply(params, obs, action[:, n]), atol=1e-5)


@pytest.mark.parametrize(("bias", "want"), [(1e3, LOG_STD_MAX), (-1e3, LOG_STD_MIN), (0.5, 0.5)])
def test_actor_clips_the_log_std_and_only_that(bias, want):
    actor = Actor((4,), 2)
    obs = jnp.zeros((3, 2))
    params = actor.init(KEY, obs)
    last = params["params"]["MLP_0"]["Dense_1"]
    last["bias"] = jnp.full_like(last["bias"], bias)
    mean, log_std = actor.apply(params, obs)
    assert mean.shape == log_std.shape == (3, 2)
    np.testing.assert_allclose(log_std, want)
    np.testing.assert_allclose(mean, bias)


def test_clip_is_sacs():
    assert (LOG_STD_MIN, LOG_STD_MAX) == (-20.0, 2.0)


def test_truncated_fan_in_has_tensorflows_scale():
    """TensorFlow's stddev s = 1 / (2 sqrt(I)) is that before truncation: bound 2 s, spread 0.8796 s."""
    kernel = np.asarray(truncated_fan_in()(KEY, (100, 5000)))
    assert np.abs(kernel).max() == pytest.approx(2 * 0.05, rel=1e-3)
    assert kernel.std() == pytest.approx(0.05 * 0.87963, rel=0.01)
