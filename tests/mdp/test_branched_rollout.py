"""The rollout engine on chains whose every step is known: alive mask, freezing, keys, returns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.mdp.rollout import Rollout, model_returns, rollout
from orl.types import Array, Step, Transition

KEY = jax.random.key(0)


def chain_step(end: Array, key: Array, obs: Array, action: Array) -> Step:
    """s -> s + action with reward 10 s + action; reaching `end` terminates, and nothing is known beyond it."""
    beyond = obs[:, 0] >= end
    at = jnp.where(beyond, jnp.nan, obs[:, 0])
    after = at + action[:, 0]
    return Step(after[:, None], 10 * at + action[:, 0], after >= end, 100 + at)


def forward(policy: Array, key: Array | None, obs: Array) -> Array:
    """Always the action `policy`."""
    return jnp.full((obs.shape[0], 1), policy)


def roll(start: list[float], horizon: int, end: float = 5.0) -> Rollout:
    """Along the chain, one state a step."""
    states = jnp.asarray(start)[:, None]
    return jax.jit(lambda s: rollout(chain_step, forward, end, 1.0, KEY, s, horizon))(states)


def test_live_steps_are_exactly_those_before_the_end() -> None:
    """From s the chain to 5 lasts 5 - s steps; the ending step is alive, nothing after it (unifloral went on)."""
    result = roll([0.0, 2.0, 4.0, 3.0], 4)
    np.testing.assert_array_equal(result.alive.sum(axis=0), [4, 3, 1, 2])
    np.testing.assert_array_equal(result.steps.terminated[2, 1], 1.0)
    np.testing.assert_array_equal(
        np.asarray(result.steps.terminated).T * np.asarray(result.alive).T,
        [
            [0, 0, 0, 0],
            [0, 0, 1, 0],
            [1, 0, 0, 0],
            [0, 1, 0, 0],
        ],
    )
    live = np.asarray(result.alive)
    assert np.asarray(result.steps.obs)[live].max() < 5.0


def test_live_rows_hold_the_whole_transition() -> None:
    """Row from 2: observations 2, 3, 4, rewards 21, 31, 41, next 3, 4, 5, uncertainty of the pair itself."""
    result = roll([2.0], 3)
    np.testing.assert_array_equal(result.steps.obs[:, 0, 0], [2, 3, 4])
    np.testing.assert_array_equal(result.steps.action[:, 0, 0], [1, 1, 1])
    np.testing.assert_array_equal(result.steps.reward[:, 0], [21, 31, 41])
    np.testing.assert_array_equal(result.steps.next_obs[:, 0, 0], [3, 4, 5])
    np.testing.assert_array_equal(result.steps.terminated[:, 0], [0, 0, 1])
    np.testing.assert_array_equal(result.uncertainty[:, 0], [102, 103, 104])


def explode(params: None, key: Array, obs: Array, action: Array) -> Step:
    """Rows at or above 3 blow up and end; everyone else takes the action."""
    ended = obs[:, 0] >= 3.0
    after = jnp.where(ended, jnp.nan, obs[:, 0] + action[:, 0])
    return Step(after[:, None], jnp.where(ended, jnp.nan, 1.0), ended, after)


def follow_the_crowd(policy: None, key: Array | None, obs: Array) -> Array:
    """A policy that mixes rows, as a batch statistic would: one NaN reaches every row."""
    return jnp.full((obs.shape[0], 1), 0.0) + jnp.mean(obs) / 10


def test_an_exploded_row_does_not_spread() -> None:
    """The row at 3 returns NaN in the first step and for ever; its observation stays frozen and the others finite."""
    result = rollout(explode, follow_the_crowd, None, None, KEY, jnp.asarray([[3.0], [0.0], [1.0]]), 5)
    np.testing.assert_array_equal(result.alive.sum(axis=0), [1, 5, 5])
    assert np.isfinite(np.asarray(result.steps.next_obs)[:, 1:]).all()
    np.testing.assert_array_equal(result.steps.obs[:, 0, 0], [3.0] * 5)


def test_returns_skip_what_follows_the_end_even_nan() -> None:
    """By hand, discount 0.5: from 2 to the end at 5, 21 + 31 / 2 + 41 / 4; from 4, 41 alone; NaN beyond counts not."""
    start = jnp.asarray([[2.0], [4.0], [-5.0]])
    discounted = model_returns(chain_step, forward, 5.0, 1.0, KEY, start, 6, 0.5)
    long_row = sum((10 * s + 1) * 0.5**t for t, s in enumerate(range(-5, 1)))
    np.testing.assert_allclose(discounted, [46.75, 41.0, long_row], rtol=1e-6)
    plain = model_returns(chain_step, forward, 5.0, 1.0, KEY, start, 6)
    np.testing.assert_allclose(plain, [93.0, 41.0, -144.0])


def test_dead_rewards_do_not_count_even_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead NaN is left out, not multiplied by 0: at discount 0.5, 1 for the ended row, 2 + 3 / 2 for the other."""
    reward, alive = jnp.asarray([[1.0, 2.0], [jnp.nan, 3.0]]), jnp.asarray([[True, True], [False, True]])
    made = Rollout(Transition(reward, reward, reward, reward, reward), reward, alive)
    monkeypatch.setattr("orl.mdp.rollout.rollout", lambda *args: made)
    returns = model_returns(chain_step, forward, 5.0, 1.0, KEY, jnp.zeros((2, 1)), 2, 0.5)
    np.testing.assert_array_equal(returns, [1.0, 3.5])


def coin(params: None, key: Array, obs: Array, action: Array) -> Step:
    """Every step ends the episode with probability 0.3, also of rows that have ended."""
    ended = jax.random.uniform(key, (obs.shape[0],)) < 0.3
    return Step(obs + 1, jnp.ones(obs.shape[0]), ended, obs[:, 0])


def test_an_ended_row_never_lives_again() -> None:
    """Though the model may call its later steps ordinary: alive is alive before, and not ended by, the step before."""
    result = rollout(coin, forward, None, 1.0, KEY, jnp.zeros((200, 1)), 6)
    alive, ended = np.asarray(result.alive), np.asarray(result.steps.terminated) > 0
    np.testing.assert_array_equal(alive[1:], alive[:-1] & ~ended[:-1])
    assert alive[0].all()
    assert np.any(~alive[1:-1] & ~ended[1:-1])  # rows that would have come back


def dice(params: None, key: Array, obs: Array, action: Array) -> Step:
    """Reward and next observation are fresh uniform draws."""
    draw = jax.random.uniform(key, (obs.shape[0],))
    return Step(draw[:, None], draw, jnp.zeros(obs.shape[0], bool), draw)


def random_act(policy: None, key: Array | None, obs: Array) -> Array:
    """A fresh uniform draw."""
    return jax.random.uniform(key, (obs.shape[0], 1))  # type: ignore[arg-type]


def test_every_step_and_the_policy_draw_with_keys_of_their_own() -> None:
    """No key is used twice: 60 different rewards and 60 different actions, and a key gives one rollout."""
    results = [rollout(dice, random_act, None, None, jax.random.key(k), jnp.zeros((10, 1)), 6) for k in (0, 0, 1)]
    draws = np.concatenate([np.ravel(results[0].steps.reward), np.ravel(results[0].steps.action)])
    assert len(np.unique(draws)) == 120
    jax.tree.map(np.testing.assert_array_equal, results[0], results[1])
    assert not np.any(np.asarray(results[0].steps.reward) == np.asarray(results[2].steps.reward))


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_horizon_counts_model_steps(horizon: int) -> None:
    """H steps give H transitions a row."""
    assert roll([0.0, 0.0], horizon, end=100.0).steps.reward.shape == (horizon, 2)
