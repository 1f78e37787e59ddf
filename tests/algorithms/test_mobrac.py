"""ReBRAC and MoBRAC: where their anchors come from, and what is left of them without their terms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_problem import ACTIONS, NORMALISER, OBS, batch_for, make, model_params, random_rows, world_for

from orl.algorithms.epoch import Schedule, TrainData, TrainState, init_training, make_epoch, next_rollout_action
from orl.algorithms.mobrac import behaviour_anchors, own_anchors
from orl.mdp.rollout import rollout
from orl.types import Batch, NextAction, Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
LOG = 40


def differ(a, b):
    return any(not np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def updated(algorithm, batch, key=1):
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
    return jax.jit(algorithm.update)(jax.random.key(key), state, batch, world_for(algorithm))[0]


def numbered_log():
    """Rows whose action is their own number over 100; episodes of ten."""
    rows, number = random_rows(jax.random.key(0), LOG), jnp.arange(LOG, dtype=jnp.float32)
    rows = rows._replace(action=jnp.stack([number / 100, -number / 100], axis=1))
    return rows, jnp.arange(LOG) % 10 != 9


def keeping(algorithm, real_rows, model_rows):
    """The algorithm's rollouts and batches, with an agent that only keeps the last batch."""
    policy = algorithm.policy(jax.jit(algorithm.init)(jax.random.key(0), NORMALISER))
    fields = algorithm._replace(
        update=lambda key, state, batch, world: (batch, {}),
        policy=lambda state: policy,
        real_rows=real_rows,
        model_rows=model_rows,
    )
    rows, _ = numbered_log()
    none = jax.tree.map(lambda x: x[:1], rows)
    following = NextAction(none.action, none.reward)

    def many(tree, n):
        return jax.tree.map(lambda x: jnp.zeros((n, *x.shape[1:])), tree)

    empty = Batch(
        many(none, real_rows),
        many(none, model_rows),
        many(following, real_rows),
        many(following, model_rows) if algorithm.model_next else (),
    )
    return fields._replace(init=lambda key, normaliser: empty)


def test_the_logged_next_action_is_the_following_rows_and_unknown_at_an_episodes_end():
    algorithm = keeping(make("rebrac"), 500, 0)
    rows, continues = numbered_log()
    empty = algorithm.init(None, None)._replace(model_next=NextAction(jnp.zeros((0, ACTIONS)), jnp.zeros(0)))
    epoch = jax.jit(make_epoch(algorithm, Schedule(1)))
    data = TrainData(rows, rows.obs, (), continues)
    batch = epoch(TrainState(empty, ()), jax.random.key(2), data)[0].agent
    number = np.round(np.asarray(batch.real.action[:, 0]) * 100).astype(int)
    assert set(number) == set(range(LOG))
    np.testing.assert_array_equal(batch.real_next.known, number % 10 != 9)
    inner = number % 10 != 9
    np.testing.assert_allclose(batch.real_next.action[inner, 0] * 100, number[inner] + 1, atol=1e-4)
    np.testing.assert_allclose(batch.real_next.action[inner, 1] * 100, -number[inner] - 1, atol=1e-4)


def test_a_rollouts_next_actions_are_its_own_and_beyond_its_end_the_policys():
    algorithm = make("mobrac", anchor="own")
    policy, world = algorithm.policy(jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)), world_for(algorithm)
    start = random_rows(jax.random.key(3), 5).obs
    result = rollout(algorithm.step, algorithm.rollout_act, world, policy, jax.random.key(4), start, 3)
    got = next_rollout_action(result, algorithm.act(policy, None, result.steps.next_obs[2]))
    assert got.shape == (3, 5, ACTIONS)
    np.testing.assert_array_equal(got[:2], result.steps.action[1:])
    np.testing.assert_array_equal(got[2], algorithm.act(policy, None, result.steps.next_obs[2]))


def test_the_buffer_keeps_next_actions_beside_their_rows():
    """Where a sampled row's successor is in the buffer too, its action is the row's next action."""
    algorithm = keeping(make("mobrac", anchor="own", exploration_noise=0.5), 4, 300)
    rows, continues = numbered_log()
    schedule = Schedule(1, 20, 3, 1)
    state = init_training(algorithm, schedule, jax.random.key(1), NORMALISER, OBS, ACTIONS)
    data = TrainData(rows, rows.obs, world_for(algorithm), continues)
    batch = jax.jit(make_epoch(algorithm, schedule))(state, jax.random.key(2), data)[0].agent
    here = {tuple(obs): tuple(action) for obs, action in zip(*map(np.asarray, batch.model[:2]), strict=True)}
    following = zip(np.asarray(batch.model.next_obs), np.asarray(batch.model_next.action), strict=True)
    pairs = [(here[tuple(obs)], tuple(action)) for obs, action in following if tuple(obs) in here]
    assert len(pairs) > 100
    assert all(a == b for a, b in pairs)
    np.testing.assert_array_equal(batch.model_next.known, np.ones(300))


def test_anchors_of_both_kinds():
    """Logged rows come first and keep their own; model rows take the rollout's or the behaviour's."""
    real, model = random_rows(jax.random.key(0), 3), random_rows(jax.random.key(1), 2)
    real_next = NextAction(jnp.full((3, ACTIONS), 0.3), jnp.array([1.0, 0.0, 1.0]))
    batch = Batch(real, model, real_next, NextAction(jnp.full((2, ACTIONS), 0.4), jnp.ones(2)))
    own = own_anchors(batch)
    np.testing.assert_array_equal(own.here, jnp.concatenate([real.action, model.action]))
    np.testing.assert_allclose(own.next.action[:, 0], [0.3, 0.3, 0.3, 0.4, 0.4])
    np.testing.assert_array_equal(own.next.known, [1, 0, 1, 1, 1])
    cloned = behaviour_anchors(batch, jnp.full((2, ACTIONS), 0.7), jnp.full((2, ACTIONS), 0.8))
    np.testing.assert_array_equal(cloned.here[:3], real.action)
    np.testing.assert_allclose(cloned.here[3:], 0.7)
    np.testing.assert_allclose(cloned.next.action[:, 0], [0.3, 0.3, 0.3, 0.8, 0.8])
    np.testing.assert_array_equal(cloned.next.known, [1, 0, 1, 1, 1])


def test_model_rows_are_held_near_the_clone_and_not_near_their_own_actions():
    """With the critic's say at 0 a large actor weight moves the model's states to the behaviour's constant action."""
    log = random_rows(jax.random.key(6), LOG)
    log = log._replace(action=jnp.full_like(log.action, 0.6))
    settings = {"actor_bc_coef": 1e4, "actor_learning_rate": 1e-2, "actor_every": 1, "real_ratio": 0.0}
    algorithm = make("mobrac", **settings)
    world = jax.jit(algorithm.world)(model_params(), log)
    batch = batch_for(algorithm)
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
    scan = jax.jit(lambda s, ks: jax.lax.scan(lambda s, k: algorithm.update(k, s, batch, world), s, ks))
    state, _ = scan(state, jax.random.split(jax.random.key(1), 300))
    mode = algorithm.act(algorithm.policy(state), None, batch.model.obs)
    assert float(np.abs(mode - 0.6).mean()) < 0.1
    assert float(np.abs(batch.model.action - 0.6).mean()) > 0.4


def test_without_model_rows_mobrac_is_rebrac():
    rebrac, mobrac = make("rebrac"), make("mobrac", real_ratio=1.0)
    batch = batch_for(rebrac)
    none = jax.tree.map(lambda x: x[:0], (batch.real, batch.real_next))
    full = batch._replace(model=none[0])
    for a, b in zip(*map(jax.tree.leaves, (updated(rebrac, batch), updated(mobrac, full))), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_terms_use_the_logged_actions_and_only_those():
    """A next action changes the critic where it is known and the row has not ended; the actor by its weight alone."""
    algorithm = make("rebrac", critic_bc_coef=1.0)
    batch = batch_for(algorithm)
    before = updated(algorithm, batch)
    live = (batch.real_next.known * (1 - batch.real.terminated))[:, None]
    assert 0 < float(live.sum()) < len(live)
    unseen = batch.real_next._replace(action=batch.real_next.action + 0.5 * (1 - live))
    assert not differ(updated(algorithm, batch._replace(real_next=unseen)).critic, before.critic)
    seen = batch.real_next._replace(action=batch.real_next.action + 0.5 * live)
    assert differ(updated(algorithm, batch._replace(real_next=seen)).critic, before.critic)
    free = make("rebrac", critic_bc_coef=0.0)
    assert not differ(updated(free, batch._replace(real_next=seen)).critic, updated(free, batch).critic)


def test_rollouts_carry_mopos_penalty():
    """The same settings as MOPO's: reward less lambda * u of the same prediction."""
    rows, key = random_rows(jax.random.key(2), 30), jax.random.key(3)
    settings = {"uncertainty": "max_pairwise", "uncertainty_units": "standardised"}
    mobrac, mopo = (make(name, penalty_coef=3.0, **settings) for name in ("mobrac", "mopo"))
    got = mobrac.step(world_for(mobrac), key, rows.obs, rows.action)
    want = mopo.step(model_params(), key, rows.obs, rows.action)
    bare = make("mobrac", penalty_coef=0.0, **settings).step(world_for(mobrac), key, rows.obs, rows.action)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(got.reward, bare.reward - 3.0 * bare.uncertainty, atol=1e-5)
    assert float(bare.uncertainty.min()) > 0.0


def test_logged_rows_are_transitions_of_the_log_alone():
    """rebrac asks for no model: its batches have none of its rows."""
    algorithm = make("rebrac")
    assert (algorithm.step, algorithm.model_rows, algorithm.real_next, algorithm.model_next) == (None, 0, True, False)
    assert isinstance(batch_for(algorithm).real, Transition)
