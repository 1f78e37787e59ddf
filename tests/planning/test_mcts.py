"""Tree search on models that can be solved by hand: dynamic programming, priors, the path it tells of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import assert_close, keys
from tabular_sequences import DISCOUNT, World, from_states, places, tabular, told
from test_beam import DEFINITIONS, random_world, solved

from orl.errors import UsageError
from orl.planning.base import Plan
from orl.planning.mcts import MctsConfig, child_of, make_mcts, root_of

pytestmark = pytest.mark.usefixtures("quick_compiles")


def search(definition: str = "excluding", **settings: Any) -> Any:
    """A compiled tree search without a past."""
    config = MctsConfig(**({"context": 0, "simulations": 64, "actions": 12, "horizon": 6} | settings))
    return jax.jit(make_mcts(config, tabular(reward_to_go=definition)))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_with_exact_values_the_most_visited_action_is_dynamic_programmings(definition: str) -> None:
    """P4, for every state of four random worlds where the best is 0.15 ahead; the root's value nears the best one's."""
    plan, clear = search(definition, simulations=200), 0
    for seed in range(4):
        world, best = solved(random_world(seed), definition)
        q = world.reward + DISCOUNT * best[world.next]
        out = plan(told(world), keys(0, 1, 2), from_states([0, 1, 2]))
        _, chosen = places(out.trajectory, 3)
        ahead = np.diff(np.sort(q, axis=1)[:, -2:])[:, 0] > 0.15
        np.testing.assert_array_equal(chosen[ahead, 0], q.argmax(axis=1)[ahead])
        clear += ahead.sum()
        assert np.all(np.asarray(out.value) <= best + 1e-4)
        np.testing.assert_allclose(out.value, best, atol=0.35 * np.ptp(q, axis=1).max())
    assert clear >= 9


def test_a_deep_tree_finds_what_values_do_not_tell() -> None:
    """Action 0 pays 1 now and leads nowhere, action 1 pays 20 two steps later; all values say 0."""
    moves = np.asarray([[3, 1, 3], [3, 2, 3], [3, 3, 3], [3, 3, 3]])
    reward = np.asarray([[1, 0, 0], [0, 0, 0], [0, 20, 0], [0, 0, 0]], np.float32)
    world = World(moves, reward, np.zeros((4, 3), np.float32))
    out = search(simulations=600, actions=4, horizon=3)(told(world), keys(0), from_states([0]))
    states, chosen = places(out.trajectory, 3)
    assert chosen[0, :3].tolist() == [1, 1, 1]
    assert states[0, :3].tolist() == [0, 1, 2]
    shallow = search(simulations=60, horizon=1)(told(world), keys(0), from_states([0]))
    assert places(shallow.trajectory, 3)[1][0, 0] == 0


def test_the_plan_is_the_most_visited_path_and_says_where_it_ends() -> None:
    """Its steps are the world's; after its end there are no rewards and values, and nothing moves."""
    world = random_world(5)
    out = search(simulations=8, horizon=6)(told(world), keys(0), from_states([1]))
    states, chosen = places(out.trajectory, 3)
    reward, value = np.asarray(out.trajectory.reward)[0], np.asarray(out.trajectory.value)[0]
    there = np.isfinite(reward)
    assert 1 <= there.sum() < 6
    assert there[: there.sum()].all()
    np.testing.assert_array_equal(np.isfinite(value), there)
    for step in range(there.sum()):
        place = states[0, step], chosen[0, step]
        np.testing.assert_allclose((reward[step], value[step]), (world.reward[place], world.value[place]), rtol=1e-5)
        if step:
            assert states[0, step] == world.next[states[0, step - 1], chosen[0, step - 1]]
    np.testing.assert_array_equal(out.trajectory.obs[0, there.sum() :], out.trajectory.obs[0, there.sum() - 1 : -1])


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_priors_are_the_models_probabilities_of_the_distinct_actions_drawn(definition: str) -> None:
    """By hand: probabilities 0.7, 0.2, 0.1, each once whatever the number of draws; the root's value is their mean."""
    policy = np.tile([0.7, 0.2, 0.1], (3, 1))
    world, model = random_world(2), tabular(reward_to_go=definition)
    config = MctsConfig(context=0, actions=64)
    node, logits, value = root_of(config, model, told(world, policy), keys(0), from_states([1]))
    drawn, prior = np.asarray(node.actions)[0, :, 0], np.asarray(jax.nn.softmax(logits))[0]
    assert set(drawn) == {0, 1, 2}
    for action, share in enumerate(policy[0]):
        first = np.flatnonzero(drawn == action)[0]
        np.testing.assert_allclose(prior[first], share, rtol=1e-4)
    assert (prior > 0).sum() == 3
    # a value token that includes the step's reward is all that the step is worth
    worth = world.value[1] if definition == "including" else world.reward[1] + DISCOUNT * world.value[1]
    np.testing.assert_allclose(value, policy[1] @ worth, rtol=1e-4)


def test_the_only_likely_action_is_the_only_one_played() -> None:
    """A filter leaves nothing else to choose from."""
    policy, world = np.tile([0.2, 0.5, 0.3], (3, 1)), random_world(1)
    out = search(k_act=1)(told(world, policy), keys(0, 1, 2), from_states([0, 1, 2]))
    assert places(out.trajectory, 3)[1][:, 0].tolist() == [1, 1, 1]


def test_a_likely_but_poor_action_is_left_for_an_unlikely_good_one() -> None:
    """Of two modes, 90% and 10%, the second pays."""
    moves, reward = np.zeros((1, 2), np.int64), np.asarray([[0.0, 1.0]], np.float32)
    world = World(moves, reward, np.zeros((1, 2), np.float32))
    out = search(actions=64)(told(world, np.asarray([[0.9, 0.1]])), keys(0), from_states([0]))
    assert places(out.trajectory, 2)[1][0, 0] == 1


def test_an_episodes_plan_is_its_own_and_compiles_once() -> None:
    """The same with others beside it, the same again with the same key, another one with another."""
    world, traces = random_world(3), []
    plan = make_mcts(MctsConfig(context=0, simulations=6, actions=3, horizon=3), tabular())

    def traced(*args: Any) -> Plan:
        traces.append(1)
        return plan(*args)

    compiled = jax.jit(traced)
    together = compiled(told(world), keys(4, 5), from_states([0, 2]))
    again = compiled(told(world), keys(4, 6), from_states([0, 1]))
    assert len(traces) == 1
    assert_close(jax.tree.map(lambda x: x[0], together), jax.tree.map(lambda x: x[0], again))
    alone = jax.jit(plan)(told(world), keys(5), from_states([2]))
    assert_close(alone, jax.tree.map(lambda x: x[1:], together))
    draws = [
        root_of(MctsConfig(context=0, actions=9), tabular(), told(world), keys(k), from_states([0]))[0] for k in (4, 5)
    ]
    assert not np.array_equal(draws[0].actions, draws[1].actions)


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match=r"plan\.context is 4, but the model's window is 4"):
        make_mcts(MctsConfig(context=4), tabular())
    with pytest.raises(UsageError, match=r"plan\.plan_freq is 3, more than the 2 steps"):
        MctsConfig(horizon=2, plan_freq=3)


def test_a_past_is_read_and_shifted() -> None:
    """With a past of two steps the answers are the same where the past tells nothing."""
    world = random_world(7)
    world, _ = solved(world, "excluding")
    with_past = jax.jit(make_mcts(MctsConfig(context=2, simulations=100, actions=12, horizon=6), tabular()))
    without = search(simulations=100)(told(world), keys(0, 1), from_states([0, 1]))
    found = with_past(told(world), keys(0, 1), from_states([0, 1], context=2))
    np.testing.assert_array_equal(found.action, without.action)
    np.testing.assert_allclose(found.value, without.value, rtol=1e-4)
    assert jnp.isfinite(found.value).all()
    config = MctsConfig(context=2, actions=3)
    root, _, _ = root_of(config, tabular(), told(world), keys(0), from_states([1], context=2))
    child, _, _ = child_of(config, tabular(), told(world), root, jnp.asarray([2]))
    np.testing.assert_array_equal(child.past[:, :-1], root.past[:, 1:])
    np.testing.assert_array_equal(child.past[:, -1], child.step)
    np.testing.assert_array_equal(child.step[0, :2], [1, root.actions[0, 2, 0]])
    assert (root.length.tolist(), child.length.tolist()) == ([2], [3])
    np.testing.assert_array_equal(child.now, [[world.next[1, root.actions[0, 2, 0]]]])
