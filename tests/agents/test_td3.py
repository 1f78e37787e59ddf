"""TD3 held near given actions: its equations by hand, and its updates against a second formulation in one piece."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from orl.agents.actor import cloning_loss, make_act, make_actor
from orl.agents.behaviour_regularised import (
    Anchors,
    behaviour_distance,
    clone_behaviour,
    inverse_magnitude,
    regularised_policy_loss,
    regularised_td_target,
    smoothed_action,
)
from orl.agents.config import PolicyConfig, Td3Config
from orl.agents.td3 import Td3State, begin_at, make_td3
from orl.data.normalise import Normaliser, identity_normaliser
from orl.types import NextAction, Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
OBS, ACTIONS, ROWS = 3, 2, 6
NORMALISER = Normaliser(jnp.array([0.5, -1.0, 0.0]), jnp.array([2.0, 0.5, 1.0]))
SETTINGS: dict[str, Any] = {
    "hidden": (8,),
    "actor_learning_rate": 1e-3,
    "critic_learning_rate": 2e-3,
    "discount": 0.9,
    "polyak": 0.1,
    "actor_bc_coef": 0.3,
    "critic_bc_coef": 0.7,
    "critic_layer_norm": False,
}
PLAIN = SETTINGS | {"actor_bc_coef": 0.0, "critic_bc_coef": 0.0, "normalise_q": False}


def made_rows(seed: int) -> tuple[Transition, Anchors]:
    draw = np.random.default_rng(seed).normal
    rows = Transition(
        *(jnp.asarray(x, jnp.float32) for x in (draw(size=(ROWS, OBS)), np.tanh(draw(size=(ROWS, ACTIONS))))),
        jnp.asarray(draw(size=ROWS), jnp.float32),
        jnp.asarray(draw(size=(ROWS, OBS)), jnp.float32),
        jnp.asarray([0.0, 1.0, 0.0, 0.0, 1.0, 0.0]),
    )
    following = jnp.asarray(np.tanh(draw(size=(ROWS, ACTIONS))), jnp.float32)
    return rows, Anchors(rows.action, NextAction(following, jnp.asarray([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])))


def test_distance_by_hand() -> None:
    """(0.5, -1) from (0, 1): 0.25 + 4."""
    got = behaviour_distance(jnp.array([[0.5, -1.0], [0.2, 0.2]]), jnp.array([[0.0, 1.0], [0.2, 0.2]]))
    np.testing.assert_allclose(got, [4.25, 0.0], atol=1e-6)


def test_target_by_hand() -> None:
    """1 + 0.5 (min(4, 2) - 0.25 * 2) = 1.75; at an end the reward alone."""
    next_q, distance = jnp.array([[4.0, 9.0], [2.0, 9.0]]), jnp.array([2.0, 2.0])
    y = regularised_td_target(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0]), next_q, distance, discount=0.5, weight=0.25)
    np.testing.assert_allclose(y, [1.75, 3.0])


def test_policy_loss_by_hand() -> None:
    """Mean of 2 * (1, 3) - 0.5 * min over critics (1, -2) = mean(1.5, 7)."""
    loss = regularised_policy_loss(jnp.array([[1.0, 5.0], [4.0, -2.0]]), jnp.array([1.0, 3.0]), q_scale=0.5, weight=2.0)
    assert float(loss) == pytest.approx(4.25)


def test_scale_of_values_is_one_over_their_mean_magnitude_and_carries_no_gradient() -> None:
    """min over critics (1, -2): mean magnitude 1.5."""
    q = jnp.array([[1.0, 5.0], [4.0, -2.0]])
    assert float(inverse_magnitude(q)) == pytest.approx(1 / 1.5)
    np.testing.assert_array_equal(jax.grad(inverse_magnitude)(q), jnp.zeros((2, 2)))


def test_smoothing_noise_is_clipped_and_the_action_stays_in_its_range() -> None:
    """sigma 0.2 clipped at 0.3: Var of N(0, 1) clipped at 1.5 is 0.778 (0.04 of it: 0.0311)."""
    got = np.asarray(smoothed_action(jax.random.key(0), jnp.zeros(50_000), 0.2, 0.3))
    assert np.abs(got).max() == pytest.approx(0.3)
    assert got.var() == pytest.approx(0.0311, rel=0.03)
    edge = np.asarray(smoothed_action(jax.random.key(1), jnp.ones(1000), 0.2, 0.5))
    assert edge.max() == 1.0
    assert edge.min() == pytest.approx(0.5)


def dense(layer: Any, x: jax.Array) -> jax.Array:
    return x @ layer["kernel"] + layer["bias"]


def plain_action(params: Any, obs: jax.Array) -> jax.Array:
    net = params["params"]["MLP_0"]
    hidden = jax.nn.relu(dense(net["Dense_0"], (obs - NORMALISER.mean) / NORMALISER.std))
    return jnp.tanh(dense(net["Dense_1"], hidden)[:, :ACTIONS])


def plain_q(params: Any, k: int, obs: jax.Array, action: jax.Array) -> jax.Array:
    (net,) = params["params"].values()
    net = jax.tree.map(lambda leaf: leaf[k], net)
    x = jnp.concatenate([(obs - NORMALISER.mean) / NORMALISER.std, action], axis=1)
    return dense(net["Dense_1"], jax.nn.relu(dense(net["Dense_0"], x)))[:, 0]


def plain_update(
    key: jax.Array, state: Td3State, rows: Transition, anchors: Anchors | None, beta: tuple[float, float], actor: bool
) -> Td3State:
    """TD3 with both cloning terms, written per critic and per row; without anchors it is TD3 itself."""
    next_action = plain_action(state.target_actor, rows.next_obs)
    noise = jnp.clip(0.2 * jax.random.normal(key, next_action.shape), -0.5, 0.5)
    next_action = jnp.clip(next_action + noise, -1, 1)
    value = jnp.minimum(*(plain_q(state.target_critic, k, rows.next_obs, next_action) for k in (0, 1)))
    if anchors is not None:
        away = ((next_action - anchors.next.action) ** 2).sum(axis=1)
        value = jnp.where(anchors.next.known == 1, value - beta[1] * away, value)
    y = jnp.where(rows.terminated == 1, rows.reward, rows.reward + 0.9 * value)

    def critic_loss(params: Any) -> jax.Array:
        return sum(jnp.mean((plain_q(params, k, rows.obs, rows.action) - y) ** 2) / 2 for k in (0, 1))  # type: ignore[return-value]

    step, critic_opt = optax.adam(2e-3).update(jax.grad(critic_loss)(state.critic), state.critic_opt)
    state = state._replace(critic=optax.apply_updates(state.critic, step), critic_opt=critic_opt)
    if not actor:
        return state

    def actor_loss(params: Any) -> jax.Array:
        action = plain_action(params, rows.obs)
        q = jnp.minimum(*(plain_q(state.critic, k, rows.obs, action) for k in (0, 1)))
        if anchors is None:
            return -jnp.mean(q)
        scale = jax.lax.stop_gradient(jnp.mean(jnp.abs(q)))
        return -jnp.mean(q) / scale + beta[0] * jnp.mean(((action - anchors.here) ** 2).sum(axis=1))

    step, actor_opt = optax.adam(1e-3).update(jax.grad(actor_loss)(state.policy.actor), state.actor_opt)
    params = optax.apply_updates(state.policy.actor, step)
    slow = [(state.target_actor, params), (state.target_critic, state.critic)]
    target_actor, target_critic = (jax.tree.map(lambda t, o: t + 0.1 * (o - t), *pair) for pair in slow)
    return state._replace(
        policy=state.policy._replace(actor=params),
        actor_opt=actor_opt,
        target_actor=target_actor,
        target_critic=target_critic,
    )


@pytest.mark.parametrize("held", [True, False])
def test_updates_equal_an_independent_formulation(held: bool) -> None:
    """Five steps, of which the first, third and fifth move the actor. With both weights at 0 it is TD3."""
    td3 = make_td3(Td3Config(**(SETTINGS if held else PLAIN)), ACTIONS, 100)
    state = plain = jax.jit(td3.init)(jax.random.key(0), NORMALISER)
    update, reference = jax.jit(td3.update), jax.jit(plain_update, static_argnums=(4, 5))
    for number, key in enumerate(jax.random.split(jax.random.key(1), 5)):
        rows, anchors = made_rows(number)
        state, _ = update(key, state, rows, anchors)
        plain = reference(key, plain, rows, anchors if held else None, (0.3, 0.7), number % 2 == 0)
    assert int(state.updates) == 5
    for name in ("policy", "target_actor", "critic", "target_critic", "actor_opt", "critic_opt"):
        for got, want in zip(*(jax.tree.leaves(getattr(x, name)) for x in (state, plain)), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-5, err_msg=name)


def test_actor_and_targets_rest_between_their_updates() -> None:
    td3 = make_td3(Td3Config(**SETTINGS, actor_every=3), ACTIONS, 100)
    update, states = jax.jit(td3.update), [jax.jit(td3.init)(jax.random.key(0), NORMALISER)]
    for key in jax.random.split(jax.random.key(1), 4):
        states.append(update(key, states[-1], *made_rows(0))[0])
    for name in ("policy", "target_actor", "target_critic"):
        leaf = [np.asarray(jax.tree.leaves(getattr(state, name))[0]) for state in states]
        assert [not np.array_equal(a, b) for a, b in pairwise(leaf)] == [True, False, False, True]
    critic = [np.asarray(jax.tree.leaves(state.critic)[0]) for state in states]
    assert all(not np.array_equal(a, b) for a, b in pairwise(critic))


def test_metrics_of_the_actor_are_those_of_its_last_update() -> None:
    td3 = make_td3(Td3Config(**SETTINGS), ACTIONS, 100)
    start, update = jax.jit(td3.init)(jax.random.key(0), NORMALISER), jax.jit(td3.update)
    rows, anchors = made_rows(0)
    state, first = update(jax.random.key(1), start, rows, anchors)
    _, second = update(jax.random.key(2), state, *made_rows(1))
    away = np.sum(np.asarray(plain_action(start.policy.actor, rows.obs) - rows.action) ** 2, axis=1)
    assert float(first["behaviour_distance"]) == pytest.approx(float(away.mean()), rel=1e-5)
    assert float(second["behaviour_distance"]) == float(first["behaviour_distance"])
    assert float(second["critic_loss"]) != float(first["critic_loss"])


def test_the_gradients_pull_to_the_anchor_and_up_the_critic() -> None:
    """One action a at anchor 0.5, Q = 3 a: d/da (w (a - 0.5)^2 - c Q) = 2 w (a - 0.5) - 3 c."""

    def loss(action: jax.Array, weight: float, scale: float) -> jax.Array:
        distance = behaviour_distance(action[:, None], jnp.full((1, 1), 0.5))
        return regularised_policy_loss(3.0 * action[None], distance, q_scale=scale, weight=weight)

    slope = jax.grad(loss)
    assert float(slope(jnp.array([0.9]), 2.0, 0.0)[0]) == pytest.approx(1.6)  # descent goes down to 0.5
    assert float(slope(jnp.array([0.1]), 2.0, 0.0)[0]) == pytest.approx(-1.6)
    assert float(slope(jnp.array([0.9]), 0.0, 0.5)[0]) == pytest.approx(-1.5)  # and up the critic
    assert float(slope(jnp.array([0.9]), 2.0, 0.5)[0]) == pytest.approx(0.1)


def test_a_large_weight_gives_the_cloned_actions() -> None:
    """As behaviour cloning: at obs -1 the actions -0.5 and 0.7 as 1 to 3, mean 0.4; at +1 0.9 and -0.9, mean 0."""
    obs = jnp.repeat(jnp.array([[-1.0], [1.0]]), 4, axis=0)
    action = jnp.array([[-0.5], [0.7], [0.7], [0.7], [0.9], [-0.9], [0.9], [-0.9]])
    rows = Transition(obs, action, 10.0 * action[:, 0], obs, jnp.ones(8))  # the critic would have all actions at 1
    anchors = Anchors(action, NextAction(action, jnp.zeros(8)))

    def modes(weight: float) -> np.ndarray:
        config = Td3Config(hidden=(8,), actor_learning_rate=1e-2, actor_every=1, actor_bc_coef=weight)
        td3 = make_td3(config, 1, 400)
        state = jax.jit(td3.init)(jax.random.key(0), identity_normaliser(1))
        scan = jax.jit(lambda s, keys: jax.lax.scan(lambda s, k: td3.update(k, s, rows, anchors), s, keys))
        state, _ = scan(state, jax.random.split(jax.random.key(1), 400))
        return np.asarray(td3.act(state.policy, None, jnp.array([[-1.0], [1.0]])))[:, 0]

    np.testing.assert_allclose(modes(1e3), [0.4, 0.0], atol=0.02)
    assert modes(0.0).min() > 0.7


def test_exploration_adds_noise_to_the_mode_inside_the_range() -> None:
    td3 = make_td3(Td3Config(hidden=(8,), exploration_noise=0.05), ACTIONS, 10)
    policy = jax.jit(td3.init)(jax.random.key(0), NORMALISER).policy
    obs = jnp.broadcast_to(jnp.array([0.3, -1.0, 0.5]), (20_000, OBS))
    mode = td3.act(policy, None, obs)
    np.testing.assert_allclose(mode[:1], plain_action(policy.actor, obs[:1]), atol=1e-6)
    drawn = np.asarray(td3.act(policy, jax.random.key(1), obs) - mode)
    np.testing.assert_allclose(drawn.std(axis=0), 0.05, rtol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.002)


def test_beginning_at_a_policy_sets_the_target_actor_too() -> None:
    td3 = make_td3(Td3Config(**SETTINGS), ACTIONS, 10)
    state, other = (jax.jit(td3.init)(jax.random.key(seed), NORMALISER) for seed in (0, 1))
    begun = begin_at(state, other.policy)
    for got, want in zip(*map(jax.tree.leaves, (begun.target_actor, other.policy.actor)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_the_clone_is_the_conditional_mean_of_the_log() -> None:
    """a = tanh(sin(2 x)) + noise: close to the mean, whatever the noise; loss near the noise's variance."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (4000, 1)) * 50.0  # far from unit scale
    mean = 0.8 * np.sin(2 * x / 50.0)
    action = np.clip(mean + rng.uniform(-0.1, 0.1, mean.shape), -1, 1)
    fields = (jnp.asarray(value, jnp.float32) for value in (x, action, x[:, 0], x, x[:, 0]))
    actor, units = make_actor(PolicyConfig(hidden=(32, 32)), 1), Normaliser(jnp.zeros(1), jnp.full(1, 58.0))
    policy = jax.jit(lambda rows: clone_behaviour(actor, jax.random.key(0), units, rows))(Transition(*fields))
    got = make_act(actor)(policy, None, jnp.asarray(x, jnp.float32))
    assert float(jnp.sqrt(cloning_loss(got, jnp.asarray(mean)))) < 0.03
