"""One update of soft actor-critic against a second, straightforward formulation (arXiv:1812.05905)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.stats import norm

from orl.agents.config import SacConfig
from orl.agents.sac import Regulariser, join, make_sac
from orl.data.normalise import Normaliser
from orl.types import Batch, Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
OBS, ACTIONS = 3, 2
NORMALISER = Normaliser(jnp.array([0.5, -1.0, 0.0]), jnp.array([2.0, 0.5, 1.0]))
SETTINGS = {
    "hidden": (8,),
    "actor_learning_rate": 1e-3,
    "critic_learning_rate": 2e-3,
    "alpha_learning_rate": 3e-3,
    "discount": 0.9,
    "polyak": 0.1,
    "initial_alpha": 0.5,
    "target_entropy_per_dim": -0.7,
}


def random_rows(key, n):
    keys = jax.random.split(key, 5)
    return Transition(
        jax.random.normal(keys[0], (n, OBS)),
        jax.random.uniform(keys[1], (n, ACTIONS), minval=-1.0, maxval=1.0),
        jax.random.normal(keys[2], (n,)),
        jax.random.normal(keys[3], (n, OBS)),
        (jax.random.uniform(keys[4], (n,)) < 0.4).astype(jnp.float32),
    )


BATCH = Batch(random_rows(jax.random.key(10), 5), random_rows(jax.random.key(11), 3))
ROWS = {name: jnp.concatenate([getattr(BATCH.real, name), getattr(BATCH.model, name)]) for name in Transition._fields}


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def plain_policy(params, key, obs):
    """Sampled action and log-density; 1 - tanh(u)^2 is 1 / cosh(u)^2."""
    net = params["params"]["MLP_0"]
    hidden = jax.nn.relu(dense(net["Dense_0"], (obs - NORMALISER.mean) / NORMALISER.std))
    out = dense(net["Dense_1"], hidden)
    mean, std = out[:, :ACTIONS], jnp.exp(jnp.clip(out[:, ACTIONS:], -20, 2))
    u = mean + std * jax.random.normal(key, mean.shape)
    return jnp.tanh(u), (norm.logpdf(u, mean, std) + 2 * (jnp.logaddexp(u, -u) - jnp.log(2.0))).sum(axis=1)


def plain_q(params, k, obs, action):
    (net,) = params["params"].values()
    net = jax.tree.map(lambda leaf: leaf[k], net)
    x = jnp.concatenate([(obs - NORMALISER.mean) / NORMALISER.std, action], axis=1)
    return dense(net["Dense_1"], jax.nn.relu(dense(net["Dense_0"], x)))[:, 0]


def plain_update(key, state, deterministic_backup):
    """The same mathematics in one piece: explicit losses per critic, jax.grad, optax's Adam."""
    critic_key, actor_key = jax.random.split(key)
    next_key, _ = jax.random.split(critic_key)
    alpha = jnp.exp(state.log_alpha)
    next_action, next_log_prob = plain_policy(state.policy.actor, next_key, ROWS["next_obs"])
    both = [plain_q(state.target_critic, k, ROWS["next_obs"], next_action) for k in (0, 1)]
    value = jnp.minimum(*both) - (0.0 if deterministic_backup else alpha * next_log_prob)
    y = jnp.where(ROWS["terminated"] == 1, ROWS["reward"], ROWS["reward"] + 0.9 * value)

    def critic_loss(params):
        errors = [plain_q(params, k, ROWS["obs"], ROWS["action"]) - y for k in (0, 1)]
        return sum(jnp.sum(e * e) / 2 / len(y) for e in errors)

    def actor_loss(params, critic):
        action, log_prob = plain_policy(params, actor_key, ROWS["obs"])
        q = jnp.minimum(*(plain_q(critic, k, ROWS["obs"], action) for k in (0, 1)))
        return jnp.mean(alpha * log_prob - q), log_prob

    loss, grad = jax.value_and_grad(critic_loss)(state.critic)
    step, critic_opt = optax.adam(2e-3).update(grad, state.critic_opt)
    critic = optax.apply_updates(state.critic, step)
    (policy_loss, log_prob), grad = jax.value_and_grad(actor_loss, has_aux=True)(state.policy.actor, critic)
    step, actor_opt = optax.adam(1e-3).update(grad, state.actor_opt)
    actor = optax.apply_updates(state.policy.actor, step)
    entropy = -jnp.mean(log_prob)
    # eq. 18 in its log form: alpha falls while the entropy is above its target of -0.7 per dimension
    step, alpha_opt = optax.adam(3e-3).update(entropy + 0.7 * ACTIONS, state.alpha_opt)
    new = state._replace(
        policy=state.policy._replace(actor=actor),
        critic=critic,
        target_critic=jax.tree.map(lambda t, o: t + 0.1 * (o - t), state.target_critic, critic),
        log_alpha=state.log_alpha + step,
        actor_opt=actor_opt,
        critic_opt=critic_opt,
        alpha_opt=alpha_opt,
    )
    return new, {"critic_loss": loss, "actor_loss": policy_loss, "entropy": entropy, "alpha": alpha}


@pytest.mark.parametrize("deterministic_backup", [False, True])
def test_updates_equal_an_independent_formulation(deterministic_backup):
    """Three steps: Adam's first hides the gradients' scale, its moments and later steps do not."""
    sac = make_sac(SacConfig(**SETTINGS, deterministic_backup=deterministic_backup), ACTIONS, 100)
    state = plain = jax.jit(sac.init)(jax.random.key(0), NORMALISER)
    update, reference = jax.jit(sac.update), jax.jit(plain_update, static_argnums=2)
    for key in jax.random.split(jax.random.key(1), 3):
        state, metrics = update(key, state, BATCH, ())
        plain, want = reference(key, plain, deterministic_backup)
        for name, number in want.items():
            assert float(metrics[name]) == pytest.approx(float(number), abs=1e-5), name
    for got, expected in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_start():
    sac = make_sac(SacConfig(**SETTINGS), ACTIONS, 100)
    state = jax.jit(sac.init)(jax.random.key(0), NORMALISER)
    assert float(jnp.exp(state.log_alpha)) == pytest.approx(0.5)
    for online, target in zip(jax.tree.leaves(state.critic), jax.tree.leaves(state.target_critic), strict=True):
        np.testing.assert_array_equal(online, target)
    q = sac.q(state.critic, NORMALISER, ROWS["obs"], ROWS["action"])
    for k in (0, 1):
        np.testing.assert_allclose(q[k], plain_q(state.critic, k, ROWS["obs"], ROWS["action"]), atol=1e-5)


def test_joined_rows_are_the_logged_then_the_models():
    for name, got in join(BATCH)._asdict().items():
        np.testing.assert_array_equal(got, ROWS[name])


def test_extra_term_reaches_the_critics_gradient_and_its_state_moves_on():
    """A term with gradient c everywhere shifts Adam's first moment by 0.1 c; the reported TD loss is without it."""
    extra = Regulariser(
        init=lambda: jnp.array(4.0),
        loss=lambda key, state, critic, batch: (
            sum(3.0 * jnp.sum(leaf) for leaf in jax.tree.leaves(critic)),
            state.regulariser,
        ),
        update=lambda state, aux: (state + aux, {"extra": aux}),
    )
    config = SacConfig(**SETTINGS)
    bare, full = make_sac(config, ACTIONS, 100), make_sac(config, ACTIONS, 100, extra)
    key = jax.random.key(1)
    without, metrics = jax.jit(bare.update)(key, jax.jit(bare.init)(jax.random.key(0), NORMALISER), BATCH, ())
    state, extra_metrics = jax.jit(full.update)(key, jax.jit(full.init)(jax.random.key(0), NORMALISER), BATCH, ())
    assert float(state.regulariser) == 8.0
    assert float(extra_metrics["extra"]) == 4.0
    assert float(extra_metrics["critic_loss"]) == pytest.approx(float(metrics["critic_loss"]))
    moments = optax.tree.get(without.critic_opt, "mu"), optax.tree.get(state.critic_opt, "mu")
    for a, b in zip(*map(jax.tree.leaves, moments), strict=True):
        np.testing.assert_allclose(b, a + 0.3, atol=1e-5)
