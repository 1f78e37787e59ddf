"""A log as tokens: rewards-to-go by hand and by a loop, what is known of values, and the windows of training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from made_sequences import even_bins, made_log, tiny_config

from orl.planning.beam import discounted_score
from orl.sequence.tokens import (
    TokenStore,
    columns,
    make_discretiser,
    replace_terminal_rewards,
    rewards_to_go,
    token_store,
    value_known,
    windows,
)

LENGTHS, CUT = [5, 1, 8, 3], [True, False, True, False]


def slow_rewards_to_go(log, discount, including) -> list[float]:
    """Every sum term by term."""
    found = []
    for t in range(len(log.reward)):
        end = int(log.last[t])
        terms = [discount ** (s - t - 1) * float(log.reward[s]) for s in range(t + 1, end + 1)]
        after = sum(terms) + discount ** (end - t) * float(log.beyond[t])
        found.append(float(log.reward[t]) + discount * after if including else after)
    return found


def rows_as_tokens() -> TokenStore:
    """Episodes of 4, 1 and 3 rows; each of the five tokens of row n is 10 n + its dimension."""
    tokens = 10 * np.arange(8)[:, None] + np.arange(5)
    last = jnp.asarray([3, 3, 3, 3, 4, 7, 7, 7], jnp.int32)
    return TokenStore(jnp.asarray(tokens, jnp.uint8), last, jnp.ones(8, bool), jnp.arange(8))


@pytest.mark.parametrize(
    ("including", "expected"), [(False, [6.0, 8.0, 8.0, -1.0, 0.0]), (True, [4.0, 6.0, 8.0, 2.5, -1.0])]
)
def test_rewards_to_go_worked_by_hand(including, expected) -> None:
    """1, 2, 4 and then, unseen, 8; and 3, -1 and then nothing; each a half of the one before."""
    reward, last = np.array([1.0, 2.0, 4.0, 3.0, -1.0]), np.array([2, 2, 2, 4, 4])
    found = rewards_to_go(reward, last, np.array([8.0, 8.0, 8.0, 0.0, 0.0]), 0.5, including=including)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@pytest.mark.parametrize("discount", [0.3, 0.99])
@pytest.mark.parametrize("including", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, [1], [6], [1, 1, 2]])
def test_rewards_to_go_are_those_of_a_loop(lengths, including, discount) -> None:
    """Whatever was cut off, with 7 beyond it."""
    log = made_log(lengths, CUT[: len(lengths)], beyond=7.0)
    found = rewards_to_go(log.reward, log.last, log.beyond, discount, including=including)
    np.testing.assert_allclose(found, slow_rewards_to_go(log, discount, including), rtol=1e-5, atol=1e-6)


def test_the_columns_are_obs_action_reward_and_value() -> None:
    log = made_log(LENGTHS, CUT, beyond=7.0)
    for choice in ("excluding", "including"):
        found = columns(log, tiny_config(reward_to_go=choice, discount=0.9))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, :2], log.obs)
        np.testing.assert_array_equal(found[:, 2:3], log.action)
        np.testing.assert_array_equal(found[:, 3], log.reward)
        np.testing.assert_allclose(
            found[:, 4], slow_rewards_to_go(log, 0.9, choice == "including"), rtol=1e-5, atol=1e-6
        )


def test_values_that_are_given_replace_the_logged_rewards() -> None:
    """As with value = "iql": what is ahead of a row, and the row's own reward on top where that is included."""
    log = made_log([3], [False])._replace(
        reward=np.array([1.0, 2.0, 4.0], np.float32), ahead=np.array([10.0, 20.0, 0.0], np.float32)
    )
    excluding = columns(log, tiny_config(reward_to_go="excluding", discount=0.5))
    including = columns(log, tiny_config(reward_to_go="including", discount=0.5, termination_penalty=-100.0))
    np.testing.assert_array_equal(excluding[:, 3:], [[1.0, 10.0], [2.0, 20.0], [4.0, 0.0]])
    np.testing.assert_array_equal(including[:, 3:], [[1.0, 6.0], [2.0, 12.0], [-100.0, -100.0]])


def test_the_penalty_replaces_the_reward_of_true_ends_only() -> None:
    log = made_log([3, 2], [True, False], beyond=7.0)
    log = log._replace(reward=np.array([1.0, 2.0, 4.0, 3.0, -1.0], np.float32))
    found = columns(log, tiny_config(termination_penalty=-100.0, discount=0.5))
    np.testing.assert_array_equal(found[:, 3], [1.0, 2.0, 4.0, 3.0, -100.0])  # the time-out keeps its 4
    np.testing.assert_array_equal(found[:, 4], [5.75, 7.5, 7.0, -100.0, 0.0])
    assert replace_terminal_rewards(log.reward, log.terminated, None) is log.reward
    np.testing.assert_array_equal(replace_terminal_rewards(log.reward, log.terminated, 0.0)[-1], 0.0)
    assert found.dtype == replace_terminal_rewards(log.reward, log.terminated, 0.0).dtype == np.float32


def test_values_whose_unseen_part_counts_are_not_known() -> None:
    """At a discount of a half, 3 steps before the cut an eighth of what follows is unseen, 4 steps before a 16th."""
    log = made_log([6, 2, 6], [True, True, False])
    expected = [True, True, False, False, False, False, False, False, *[True] * 6]
    np.testing.assert_array_equal(value_known(log, 0.5, "mask"), expected)
    for choice in ("bootstrap", "ignore"):
        assert value_known(log, 0.5, choice).tolist() == [True] * 14
    assert value_known(log._replace(ahead=log.reward), 0.5, "mask").all()  # given values are complete
    store = token_store(log, even_bins([8] * 5, 8), tiny_config(timeouts="mask", discount=0.5))
    np.testing.assert_array_equal(store.value_known, expected)


def test_values_that_are_not_known_have_no_say_in_the_bins() -> None:
    """Rewards of 1 for ever, cut off after 12: the values known begin at 1.875 of 2, those unknown go down to 0."""
    log = made_log([12], [True])._replace(reward=np.ones(12, np.float32))
    shared = {"timeouts": "mask", "discount": 0.5, "discretiser": "uniform"}
    found = make_discretiser(log, tiny_config(**shared))
    np.testing.assert_allclose(found.edges[-1, 0], 2 - 2**-3)
    np.testing.assert_allclose(found.edges[-1, -1], 2 - 2**-10)
    whole = make_discretiser(log, tiny_config(**shared | {"timeouts": "ignore"}))
    assert whole.edges[-1, 0] == 0.0
    np.testing.assert_array_equal(found.edges[:-1], whole.edges[:-1])
    none_known = make_discretiser(made_log([2], [True]), tiny_config(**shared))
    np.testing.assert_array_equal(none_known.counts, [8, 8, 8, 8, 8])


@pytest.mark.parametrize(
    ("stride", "expected"),
    [(1, [*range(11)]), (3, [0, 3, 6, 7, 10]), (4, [0, 4, 7, 10]), (100, [0, 7, 10])],
)
def test_windows_begin_at_every_so_manieth_row_of_each_episode(stride, expected) -> None:
    log, config = made_log([7, 3, 1], [True, False, False]), tiny_config()
    store = token_store(log, make_discretiser(log, config), config, stride=stride)
    assert store.starts.tolist() == expected
    assert store.starts.dtype == store.last.dtype == jnp.int32
    np.testing.assert_array_equal(store.last, [6] * 7 + [9] * 3 + [10])


def test_the_store_holds_the_tokens_of_the_columns() -> None:
    log, config = made_log(LENGTHS, CUT), tiny_config(termination_penalty=-5.0)
    found = make_discretiser(log, config)
    store = token_store(log, found, config)
    assert store.tokens.dtype == jnp.uint8
    np.testing.assert_array_equal(store.tokens, found.encode(jnp.asarray(columns(log, config))))
    assert len(np.unique(store.tokens)) == 8


def test_windows_stay_inside_their_episode_and_begin_with_an_observation() -> None:
    """From row 2 of a four-row episode three rows on: two of them count, nothing of the next episode is there."""
    found = windows(rows_as_tokens(), jnp.asarray([0, 2, 3, 4, 5]), 3)
    rows = np.asarray(found.tokens).reshape(5, 3, 5)
    assert found.tokens.dtype == jnp.int32
    inside = [[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]]
    np.testing.assert_array_equal(np.asarray(found.counts).reshape(5, 3, 5), np.repeat(inside, 5).reshape(5, 3, 5))
    np.testing.assert_array_equal(rows % 10, np.broadcast_to(np.arange(5), (5, 3, 5)))  # dimension by dimension
    read = [[0, 1, 2], [2, 3, 3], [3, 3, 3], [4, 4, 4], [5, 6, 7]]
    np.testing.assert_array_equal(rows[..., 0] // 10, read)


def test_of_unknown_values_only_the_token_itself_does_not_count() -> None:
    store = rows_as_tokens()._replace(value_known=jnp.asarray([True, False, True, False, True, True, True, False]))
    counts = np.asarray(windows(store, jnp.asarray([0, 2, 5]), 3).counts).reshape(3, 3, 5)
    np.testing.assert_array_equal(counts[..., -1], [[1, 0, 1], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(counts[..., :-1], np.repeat([[1, 1, 1], [1, 1, 0], [1, 1, 1]], 4).reshape(3, 3, 4))


@pytest.mark.parametrize("including", [False, True])
def test_the_score_of_a_plan_is_the_same_after_every_step(including) -> None:
    """T4: sum_{k<=t} g^k r_k + g^{t+1} V_t for exact V; with values of the other definition it wanders."""
    log, g = made_log([9], [True], beyond=4.0, seed=3), 0.9
    total = sum(g**k * float(r) for k, r in enumerate(log.reward)) + g**9 * 4.0

    def scores(values_include: bool) -> list[float]:
        value = jnp.asarray(rewards_to_go(log.reward, log.last, log.beyond, g, including=values_include))
        reward = jnp.asarray(log.reward)
        return [float(discounted_score(reward, value, step, g, including=including)) for step in range(9)]

    np.testing.assert_allclose(scores(including), total, rtol=1e-5)
    mixed = np.asarray(scores(not including))
    assert np.ptp(mixed) > 0.3
    assert np.abs(mixed - total).max() > 0.3


def test_mixed_definitions_count_a_reward_twice_or_not_at_all() -> None:
    """Rewards 1, 2, 4 and a half: worth 3. The paper's values in the reference's formula: 1 + 3/2; and the reverse."""
    reward, last, none = np.array([1.0, 2.0, 4.0]), np.array([2, 2, 2]), np.zeros(3)
    with_own, without = (rewards_to_go(reward, last, none, 0.5, including=each) for each in (True, False))
    assert discounted_score(jnp.asarray(reward), jnp.asarray(with_own), 0, 0.5, including=True) == 3.0
    assert discounted_score(jnp.asarray(reward), jnp.asarray(without), 0, 0.5, including=False) == 3.0
    assert discounted_score(jnp.asarray(reward), jnp.asarray(with_own), 0, 0.5, including=False) == 2.5
    assert discounted_score(jnp.asarray(reward), jnp.asarray(without), 0, 0.5, including=True) == 4.0
