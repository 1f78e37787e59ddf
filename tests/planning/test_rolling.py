"""Rolling the density model: against one without a cache, against the beam, and on a table solved by hand."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import assert_close
from numpy.typing import NDArray
from tabular_sequences import Tables, beam, bins_of, chances, from_states, tabular
from uncached import Tokens, Uncached, some_history, tiny_sequence

from orl.planning.base import History
from orl.planning.beam import BeamConfig, make_beam
from orl.planning.reading import history_tokens
from orl.planning.rolling import Rolled, roll
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter
from orl.types import Array

pytestmark = pytest.mark.usefixtures("quick_compiles")

GREEDY, SOME = Filter(top_k=1), Filter(cdf=0.3)


def rolled(model: Any, params: Any, keys: Array, past: History, horizon: int, **settings: Any) -> Rolled:
    """`roll`, compiled once for the same settings."""
    actions = settings.pop("actions", None)
    return compiled(model, horizon, **settings)(params, keys, past, actions=actions)


@cache
def compiled(model: Any, horizon: int, **settings: Any) -> Any:
    """`roll` for (params, keys, history, actions)."""
    return jax.jit(partial(roll, model, horizon=horizon, **settings))


def reference(
    model: SequenceModel,
    uncached: Uncached,
    key: Array,
    history: History,
    row: int,
    horizon: int,
    given: NDArray | None,
    obs_keep: Filter,
    action_keep: Filter,
) -> tuple[NDArray, NDArray, NDArray, float]:
    """Tokens [H, D], rewards and values [H], log-probability, token by token; given action tokens [H, A]."""
    past, now = uncached.opening(history, row)
    plan: Tokens = []
    rewards, values, log = [], [], 0.0
    for step in range(horizon):
        step_key = jax.random.fold_in(key, step)
        plan.append(now if step == 0 else [])
        if step:
            log += uncached.go_on(past, [plan], step_key, 0, model.obs_dim, obs_keep)[0]
        if given is None:
            log += uncached.go_on(past, [plan], step_key, model.obs_dim, model.action_dim, action_keep)[0]
        else:
            plan[-1].extend(map(int, given[step]))
        reward, value, more = uncached.outcome(past, [plan], step_key)
        rewards.append(reward[0])
        values.append(value[0])
        log += more[0]
    return np.asarray(plan), np.asarray(rewards), np.asarray(values), log


def test_the_past_in_tokens() -> None:
    """By bins of [-1, 1], 8, 6, 5, 7, 8 and 6 of them; values that nobody knows are the highest bin in use."""
    model, params = tiny_sequence()
    obs, action, reward = [[[-0.9, 0.9], [0.1, -0.1]]], [[[0.0, -2.0], [2.0, 0.0]]], [[-1.0, 1.0]]
    past = History(*map(jnp.asarray, (obs, action, reward, [[0.3, -1.0]], [2], np.zeros((1, 1, 2)))))
    tokens, now = history_tokens(model, params, past)
    np.testing.assert_array_equal(tokens, [[[0, 5, 2, 0, 0, 5], [4, 2, 4, 3, 7, 5]]])
    np.testing.assert_array_equal(now, [[5, 0]])


CASES = {  # windows of three transitions
    "no context": ({}, 0, [0, 0], 5, True, GREEDY),
    "one past step": ({}, 1, [1, 0], 5, True, SOME),
    "two past steps": ({"value_input": "token"}, 2, [0, 1, 2], 4, True, GREEDY),
    "lstm": ({"arch": "lstm"}, 2, [2, 0], 3, True, SOME),
    "own actions": ({}, 1, [1, 0, 1], 3, False, GREEDY),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_roll_without_a_cache(case: str) -> None:
    """Tokens, what they stand for, expected rewards and values, and the log-probability, beyond the window."""
    settings, context, lengths, horizon, is_given, obs_keep = CASES[case]
    model, params = tiny_sequence(**settings)
    past, keys = some_history(lengths, context), jax.random.split(jax.random.key(1), len(lengths))
    actions = np.random.default_rng(2).uniform(-1, 1, (len(lengths), horizon, 2)).astype(np.float32)
    choice = {"actions": actions} if is_given else {"action_keep": SOME}
    out = rolled(model, params, keys, past, horizon, obs_keep=obs_keep, **choice)
    given = np.asarray(params.discretiser.encode_dims(jnp.asarray(actions), 2)) if is_given else None
    uncached = Uncached(model, params, context, 1)
    for row in range(len(lengths)):
        mine = None if given is None else given[row]
        tokens, reward, value, log = reference(model, uncached, keys[row], past, row, horizon, mine, obs_keep, SOME)
        np.testing.assert_array_equal(out.tokens[row], tokens)
        numbers = uncached.centres[np.arange(6), tokens]
        numbers[0, :2] = past.now[row]
        np.testing.assert_allclose(out.trajectory.obs[row], numbers[:, :2], atol=1e-6)
        np.testing.assert_allclose(out.trajectory.action[row], numbers[:, 2:4], atol=1e-6)
        np.testing.assert_allclose(out.trajectory.reward[row], reward, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(out.trajectory.value[row], value, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(out.log_prob[row], log, rtol=1e-3, atol=1e-4)
    if is_given:  # they are there as the middles of their bins, 2/5 and 2/7 wide
        assert np.all(np.abs(out.trajectory.action - actions) <= [0.2 + 1e-6, 1 / 7 + 1e-6])


def test_its_own_actions_are_those_of_the_smallest_beam() -> None:
    """Beam 1, expansion 1: the same tokens, drawn with the same keys; its log-probability is the score."""
    model, params = tiny_sequence()
    past, keys = some_history([1, 0, 1], 1), jax.random.split(jax.random.key(3), 3)
    config = BeamConfig(beam=1, n_expand=1, horizon=3, context=1, cdf_act=SOME.cdf, objective="likelihood")
    plan = jax.jit(make_beam(config, model))(params, keys, past)
    out = rolled(model, params, keys, past, 3, obs_keep=GREEDY, action_keep=SOME)
    assert_close(out.trajectory, plan.trajectory)
    np.testing.assert_allclose(out.log_prob, plan.value, rtol=1e-4)


def table() -> tuple[SequenceParams, dict[str, NDArray]]:
    """Two states, two actions; a likely and an unlikely next state, reward and value of each pair."""
    moves = np.asarray([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]]])
    rewards, values = np.asarray([[0.8, 0.2]] * 2).T[..., None], np.full((2, 2, 1), 0.25)
    rewards, values = (np.broadcast_to(np.concatenate([x, 1 - x], axis=2), (2, 2, 2)) for x in (rewards, values))
    policy = np.asarray([[0.6, 0.4], [0.1, 0.9]])
    tables = Tables(*(chances(x, 2) for x in (policy, rewards, values, moves)))
    known = {"moves": moves, "rewards": rewards, "policy": policy}
    return SequenceParams(tables, bins_of(2, 2, [1.0, 5.0], [0.0, 8.0])), known


def test_expectations_and_log_probabilities_by_hand() -> None:
    """From state 0 by actions 1, 0, 1: states 0, 1, 0; rewards by chance 0.8 or 0.2 of 1, else 5; values 6 on average.

    What was drawn is two observations (0.8, 0.7) and three rewards (0.8 each); the given actions are not drawn.
    """
    params, _ = table()
    actions = np.asarray([[[0.3], [-0.9], [0.9]]], np.float32)
    out = rolled(tabular(), params, jax.random.split(jax.random.key(0), 1), from_states([0]), 3, actions=actions)
    np.testing.assert_array_equal(out.tokens[0, :, :2], [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(out.trajectory.action[0, :, 0], [0.5, -0.5, 0.5])
    np.testing.assert_allclose(out.trajectory.obs[0, :, 0], [0.5, 1.5, 0.5])
    likely = 0.8 * 1 + 0.2 * 5, 0.2 * 1 + 0.8 * 5
    np.testing.assert_allclose(out.trajectory.reward[0], [likely[0], likely[1], likely[0]], rtol=1e-5)
    np.testing.assert_allclose(out.trajectory.value[0], [6] * 3, rtol=1e-5)
    np.testing.assert_array_equal(out.tokens[0, :, 2:], [[0, 1], [1, 1], [0, 1]])  # those read are the likely ones
    np.testing.assert_allclose(out.log_prob[0], np.log(0.8 * 0.7 * 0.8**3), rtol=1e-5)


def test_actions_of_its_own_count() -> None:
    """Greedy from state 1: action 1 (0.9) stays there (0.6), for ever; without a filter it draws as the policy does."""
    params, known = table()
    keys = jax.random.split(jax.random.key(0), 4000)
    out = rolled(tabular(window=2), params, keys[:1], from_states([1], 1), 4, action_keep=GREEDY)
    np.testing.assert_array_equal(out.tokens[0, :, :2], [[1, 1]] * 4)
    np.testing.assert_allclose(out.log_prob[0], 4 * np.log(0.9 * 0.8) + 3 * np.log(0.6), rtol=1e-5)
    search = beam(tabular(window=2), beam=1, n_expand=1, k_act=1, context=1, horizon=4)
    assert_close(search(params, keys[1:2], from_states([1], 1)).trajectory, out.trajectory)
    many = rolled(tabular(), params, keys, from_states([0] * 4000), 2)
    actions, states = many.tokens[..., 1], many.tokens[..., 0]
    np.testing.assert_allclose((actions[:, 0] == 1).mean(), known["policy"][0, 1], atol=0.03)
    np.testing.assert_array_equal(states[:, 1], actions[:, 0])  # by the likelier move 0 leads to 0, and 1 to 1
    np.testing.assert_allclose((actions[:, 1] == 1)[states[:, 1] == 1].mean(), known["policy"][1, 1], atol=0.03)


def test_observations_are_drawn_where_asked() -> None:
    """A filter of nothing visits the unlikely state as often as its chance says."""
    params, known = table()
    keys = jax.random.split(jax.random.key(1), 4000)
    actions = np.full((4000, 2, 1), 0.5, np.float32)
    out = rolled(tabular(), params, keys, from_states([0] * 4000), 2, actions=actions, obs_keep=Filter())
    second = out.tokens[:, 1, 0]
    np.testing.assert_allclose((second == 1).mean(), known["moves"][0, 1, 1], atol=0.03)
    expected = np.log(0.8**2 * known["moves"][0, 1][second])
    np.testing.assert_allclose(out.log_prob, expected, rtol=1e-5)
