"""What the beam draws and what it scores: filters of actions and observations, likely modes, outcomes by luck."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from made_worlds import keys
from tabular_sequences import Tables, World, beam, bins_of, chances, from_states, places, sure, told

from orl.planning.beam import BeamConfig
from orl.sequence.model import SequenceParams

pytestmark = pytest.mark.usefixtures("quick_compiles")

S, A = 3, 3


def one_state(policy: list[float], rewards: list[float], **settings: Any) -> int:
    """The action planned in a world of one state."""
    world = World(np.zeros((1, A), int), np.asarray([rewards], np.float32), np.zeros((1, A), np.float32))
    plan = beam(beam=64, horizon=1, **settings)(told(world, [policy]), keys(0), from_states([0]))
    return int(places(plan.trajectory, A)[1][0, 0])


def test_reward_leaves_the_likely_mode_and_likelihood_does_not() -> None:
    """The usual action earns nothing; one nearly as usual earns 1; a third is out of the question."""
    policy, rewards = [0.5, 0.45, 0.05], [0.0, 1.0, -1.0]
    assert one_state(policy, rewards) == 1
    assert one_state(policy, rewards, objective="likelihood") == 0


def test_unlikely_actions_are_never_planned() -> None:
    """Chances 0.5, 0.3, 0.2 of rewards 0, 1, 2: how much is dropped says which action is the best that is left."""
    policy, rewards = [0.5, 0.3, 0.2], [0.0, 1.0, 2.0]
    for settings, action in (
        ({}, 2),
        ({"cdf_act": 0.25}, 1),
        ({"cdf_act": 0.6}, 0),
        ({"cdf_act": BeamConfig().cdf_act}, 0),
        ({"k_act": 2}, 1),
        ({"k_act": 1}, 0),
        ({"cdf_act": 0.25, "temperature": 10.0}, 2),  # chances 0.35, 0.33, 0.32
    ):
        assert one_state(policy, rewards, **settings) == action, settings


def test_observations_are_the_likely_ones_unless_asked_otherwise() -> None:
    """State 1 follows with chance 0.6; state 2, which pays, is met in a plan only where observations are drawn."""
    rewards, vocab = np.asarray([[0], [1], [2]]).repeat(A, axis=1), 3
    moves = np.broadcast_to([0.0, 0.6, 0.4], (S, A, S))
    tables = Tables(
        chances(np.full((S, A), 1 / A), vocab), sure(rewards, vocab), sure(0 * rewards, vocab), chances(moves, vocab)
    )
    params = SequenceParams(tables, bins_of(S, A, [0.0, 1.0, 5.0], np.zeros(3)))
    for k_obs, states, total in ((1, [0, 1, 1], 0.75), (0, [0, 2, 2], 3.75), (2, [0, 2, 2], 3.75)):
        plan = beam(beam=64, horizon=3, k_obs=k_obs)(params, keys(0), from_states([0]))
        np.testing.assert_array_equal(places(plan.trajectory, A)[0][0], states)
        np.testing.assert_allclose(plan.value, total, rtol=1e-5)


def test_outcomes_are_expected_or_sampled() -> None:
    """A reward of 8 with chance 1/4 and a value of 4 with chance 1/2: 2 + 2/2, or, luck of 64 draws, 8 + 4/2."""
    reward, value, stay = [[[0.75, 0.25]] * A], [[[0.5, 0.5]] * A], sure([[0] * A], A)
    tables = Tables(chances([[1 / A] * A], A), chances(reward, A), chances(value, A), stay)
    params = SequenceParams(tables, bins_of(1, A, [0.0, 8.0, 0.0], [0.0, 4.0, 0.0]))
    for outcome, score, r, v in (("expected", 3, 2, 2), ("sampled", 10, 8, 4)):
        plan = beam(beam=32, horizon=1, outcome=outcome)(params, keys(0), from_states([0]))
        np.testing.assert_allclose(
            (plan.value[0], plan.trajectory.reward[0, 0], plan.trajectory.value[0, 0]), (score, r, v)
        )
    lot = beam(beam=1, n_expand=1, horizon=1, outcome="sampled")
    lot = lot(params, jax.random.split(jax.random.key(0), 4000), from_states([0] * 4000))
    pair = np.asarray([lot.trajectory.reward[:, 0] == 8, lot.trajectory.value[:, 0] == 4])
    np.testing.assert_allclose(pair.mean(axis=1), [0.25, 0.5], atol=0.03)
    np.testing.assert_allclose((pair[0] & pair[1]).mean(), 0.125, atol=0.03)  # drawn apart
