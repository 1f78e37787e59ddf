"""The beam on models that can be solved by hand: exhaustive enumeration, exact values, likelihood, settings."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import keys
from numpy.typing import NDArray
from tabular_sequences import DISCOUNT, Tables, World, beam, bins_of, chances, from_states, places, sure, tabular, told

from orl.config import build
from orl.errors import UsageError
from orl.planning.base import Plan
from orl.planning.beam import BeamConfig, discounted_score, make_beam
from orl.sequence.model import SequenceParams

pytestmark = pytest.mark.usefixtures("quick_compiles")

S, A = 3, 3
DEFINITIONS = ("excluding", "including")


def random_world(seed: int) -> World:
    """Random moves, rewards and values."""
    rng = np.random.default_rng(seed)
    return World(rng.integers(0, S, (S, A)), *rng.standard_normal((2, S, A)).astype(np.float32))


def solved(world: World, definition: str) -> tuple[World, NDArray]:
    """The world with exact value tokens, and V* [S]."""
    best = np.zeros(S)
    for _ in range(60):
        best = (world.reward + DISCOUNT * best[world.next]).max(axis=1)
    ahead = best[world.next]
    value = ahead if definition == "excluding" else world.reward + DISCOUNT * ahead
    return world._replace(value=value.astype(np.float32)), best


def played(world: World, state: int, actions: tuple[int, ...]) -> tuple[list[int], NDArray, NDArray]:
    """States before each action, rewards and values."""
    states = [state]
    for action in actions:
        states.append(int(world.next[states[-1], action]))
    index = states[:-1], list(actions)
    return states[:-1], world.reward[index], world.value[index]


def promised(rewards: NDArray, values: NDArray, definition: str) -> float:
    """Score of a whole plan, written out: discounted rewards up to where the last value begins, and that value."""
    counted = len(rewards) - (definition == "including")
    return sum(DISCOUNT**k * rewards[k] for k in range(counted)) + DISCOUNT**counted * values[-1]


def assert_true_to(world: World, plan: Plan, definition: str) -> None:
    """Every step of every plan is the world's, and its score that of its own rewards and values."""
    for states, actions, reward, value, score in zip(
        *places(plan.trajectory, A), plan.trajectory.reward, plan.trajectory.value, plan.value, strict=True
    ):
        true_states, rewards, values = played(world, states[0], tuple(actions))
        np.testing.assert_array_equal(states, true_states)
        np.testing.assert_allclose(reward, rewards, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(value, values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(score, promised(rewards, values, definition), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plan.action, plan.trajectory.action[:, 0])


def test_discounted_score_by_hand() -> None:
    """Rewards 1, 2, 4 and values 8, 16, 32 with discount 1/2; what is not known yet has no say."""
    reward, value = jnp.asarray([[1.0, 2, 4]] * 2), jnp.asarray([[8.0, 16, 32], [0.0, 0, 0]])
    for step, excluding, including in ((0, 1 + 4, 8), (1, 1 + 1 + 4, 1 + 8), (2, 1 + 1 + 1 + 4, 1 + 1 + 8)):
        rest = 1 + (step > 0) + (step > 1)
        for index in (step, jnp.asarray(step)):
            out = discounted_score(reward, value, index, 0.5, including=False)
            np.testing.assert_allclose(out, [excluding, rest])
            out = discounted_score(reward, value, index, 0.5, including=True)
            np.testing.assert_allclose(out, [including, rest - 1])
    unknown = discounted_score(jnp.asarray([1.0, jnp.nan]), jnp.asarray([8.0, jnp.nan]), 0, 0.5, including=False)
    np.testing.assert_allclose(unknown, 5)


def test_with_exact_values_the_score_is_the_same_at_every_step_and_definition() -> None:
    """T4: rewards of a true trajectory; the formula of the one definition with the values of the other is off."""
    reward = np.random.default_rng(0).standard_normal(6)
    from_on = np.asarray([sum(0.9 ** (k - t) * reward[k] for k in range(t, 6)) for t in range(7)])
    for step in range(6):
        np.testing.assert_allclose(
            discounted_score(reward, from_on[1:], step, 0.9, including=False), from_on[0], rtol=1e-5
        )
        np.testing.assert_allclose(
            discounted_score(reward, from_on[:6], step, 0.9, including=True), from_on[0], rtol=1e-5
        )
    assert abs(discounted_score(reward, from_on[:6], 3, 0.9, including=False) - from_on[0]) > 0.01


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_a_beam_of_everything_is_exhaustive_enumeration(horizon: int, definition: str) -> None:
    """T3: 500 children, all kept, begin with every one of the A^H sequences; the best is the best there is."""
    seen: list[NDArray] = []
    search = beam(tabular(seen.append, reward_to_go=definition), beam=500, n_expand=1, horizon=horizon)
    sequences = list(product(range(A), repeat=horizon))
    for seed in range(4):
        world = random_world(seed)
        seen.clear()
        plan = jax.block_until_ready(search(told(world), keys(*range(S)), from_states(range(S))))
        jax.effects_barrier()
        assert_true_to(world, plan, definition)
        read = np.asarray(max(seen, key=lambda x: x.shape[1]))
        for state, actions in enumerate(places(plan.trajectory, A)[1]):
            rows = read[500 * state : 500 * (state + 1)]
            assert {tuple(row) for row in rows[:, 1::4].tolist()} == set(sequences)
            scores = [promised(*played(world, state, each)[1:], definition) for each in sequences]
            np.testing.assert_allclose(plan.value[state], max(scores), rtol=1e-5)
            assert tuple(actions) == sequences[int(np.argmax(scores))]


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("horizon", [1, 4])
def test_with_exact_values_one_beam_is_optimal(horizon: int, definition: str) -> None:
    """T3: V* in the value tokens makes the greedy choice the right one, in every state and at every step."""
    search = beam(tabular(reward_to_go=definition), beam=1, n_expand=32, horizon=horizon)
    for seed in range(3):
        world, best = solved(random_world(seed), definition)
        plan = search(told(world), keys(*range(S)), from_states(range(S)))
        np.testing.assert_allclose(plan.value, best, rtol=1e-4, atol=1e-5)
        choice = (world.reward + DISCOUNT * best[world.next]).argmax(axis=1)
        states, actions = places(plan.trajectory, A)
        np.testing.assert_array_equal(actions, choice[states])
        assert_true_to(world, plan, definition)


@pytest.mark.parametrize(("context", "window"), [(0, 4), (0, 2), (1, 2), (2, 4)])
def test_the_best_plan_comes_with_its_own_trajectory(context: int, window: int) -> None:
    """Five steps, most of the children dropped at each, with windows that are full before the end."""
    search = beam(tabular(window=window), beam=5, n_expand=3, horizon=5, context=context)
    for seed in range(3):
        world = random_world(seed)
        plan = search(told(world), keys(*range(S)), from_states(range(S), context))
        np.testing.assert_array_equal(plan.trajectory.obs[:, 0, 0], np.arange(S) + 0.5)
        assert_true_to(world, plan, "excluding")


def test_the_first_observation_is_the_true_one() -> None:
    """Not the middle of its bin; what follows are middles."""
    past = from_states([1])
    past = past._replace(now=past.now + 0.3)
    plan = beam(beam=2, horizon=2)(told(random_world(0)), keys(0), past)
    np.testing.assert_allclose(plan.trajectory.obs[0, 0, 0], 1.8, rtol=1e-6)
    assert float(plan.trajectory.obs[0, 1, 0]) % 1 == 0.5


def likely_tables(rng: np.random.Generator) -> tuple[SequenceParams, list[NDArray]]:
    """Random chances of actions, rewards and next states, and those chances."""
    actions, rewards, moves = (rng.dirichlet(np.ones(n), (S, *more)) for n, more in ((A, ()), (2, (A,)), (S, (A,))))
    tables = Tables(chances(actions, 4), chances(rewards, 4), sure(np.zeros((S, A), int), 4), chances(moves, 4))
    return SequenceParams(tables, bins_of(S, A, [1.0, 2.0, 0, 0], np.zeros(4))), [actions, rewards, moves]


def test_likelihood_finds_the_most_likely_continuation() -> None:
    """By enumeration: actions as drawn, the most likely reward token and next state, log-probabilities of all three."""
    search = beam(beam=500, n_expand=1, horizon=3, objective="likelihood")
    for seed in range(3):
        params, (acts, rewards, moves) = likely_tables(np.random.default_rng(seed))
        plan = search(params, keys(*range(S)), from_states(range(S)))
        for start in range(S):
            found = {}
            for sequence in product(range(A), repeat=3):
                s, total = start, 0.0
                for step, a in enumerate(sequence):
                    total += np.log(acts[s, a] * rewards[s, a].max() * (moves[s, a].max() if step < 2 else 1))
                    s = moves[s, a].argmax()
                found[sequence] = total
            np.testing.assert_allclose(plan.value[start], max(found.values()), rtol=1e-4)
            assert tuple(places(plan.trajectory, A)[1][start]) == max(found, key=found.get)


def test_the_smallest_beam_draws_from_the_policy() -> None:
    """Beam 1, expansion 1, horizon 1: the actions of 4000 episodes are as frequent as the model says."""
    policy, n = np.asarray([[0.5, 0.3, 0.2]] * S), 4000
    world = random_world(0)
    search, many = beam(beam=1, n_expand=1, horizon=1), jax.random.split(jax.random.key(0), n)
    plan = search(told(world, policy), many, from_states([1] * n))
    np.testing.assert_allclose(np.bincount(places(plan.trajectory, A)[1][:, 0]) / n, policy[0], atol=0.03)
    assert_true_to(world, plan, "excluding")


def test_settings_are_checked() -> None:
    """More steps acted than planned, a past that fills the window, and values out of range are refused."""
    with pytest.raises(UsageError, match=r"plan_freq is 4, more than the 3 steps of a plan"):
        BeamConfig(horizon=3, plan_freq=4)
    assert BeamConfig(horizon=3, plan_freq=3).plan_freq == 3
    expected = r"context is 4, but the model's window is 4 transitions.* at most 3 "
    with pytest.raises(UsageError, match=expected):
        make_beam(BeamConfig(context=4), tabular())
    make_beam(BeamConfig(context=3), tabular())
    for bad in ({"beam": 0}, {"n_expand": 0}, {"context": -1}, {"cdf_act": 1.0}, {"temperature": 0.0}, {"k_obs": -1}):
        with pytest.raises(UsageError):
            build(BeamConfig, bad)
    with pytest.raises(UsageError):
        build(BeamConfig, {"objective": "luck"})
