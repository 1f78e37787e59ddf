"""What every shooting planner is made of, on worlds worked out by hand: scores, ends, terminal values, averages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import NOTHING, assert_close, history, keys, line, lives, slope

from orl.errors import UsageError
from orl.planning.base import History, Plan
from orl.planning.shooting import PlannerParams, Shots, average, each_episode, given, score_weights, shoot
from orl.planning.trajectory_optimisation import TrajectoryConfig
from orl.types import Array, Step, StepFn

KEY = jax.random.key(0)
SEQUENCES = jnp.asarray([[1.0, 0.5, -1.0], [0.0, 0.0, 1.0]])[..., None]  # [N=2, H=3, A=1]


def play(step: StepFn, sequences: Array = SEQUENCES, start: float = 2.0, model: object = None, **kwargs) -> Shots:
    """The sequences from the state `start` at discount 0.5."""
    n, h = sequences.shape[:2]
    params = PlannerParams(model, None, kwargs.pop("scale", None))

    def run(obs: Array) -> Shots:
        return shoot(step, given(sequences), params, KEY, obs, candidates=n, horizon=h, discount=0.5, **kwargs)

    return jax.jit(run)(jnp.asarray([start]))


def worth(scale: float, obs: Array) -> Array:
    """`scale` times the state."""
    return scale * obs[:, 0]


def test_the_score_and_all_that_was_seen_by_hand() -> None:
    """From 2: states 2, 3, 3.5 earn 21, 30.5, 34 along the first sequence, 20, 20, 21 along the second."""
    shots = play(line)
    np.testing.assert_allclose(shots.obs[..., 0], [[2, 3, 3.5], [2, 2, 2]])
    np.testing.assert_allclose(shots.reward, [[21, 30.5, 34], [20, 20, 21]])
    np.testing.assert_array_equal(shots.action, SEQUENCES)
    np.testing.assert_allclose(shots.score, [21 + 30.5 / 2 + 34 / 4, 20 + 20 / 2 + 21 / 4])
    assert np.all(np.isnan(shots.value))


def test_the_terminal_value_counts_once_and_discounted_by_h_steps() -> None:
    """V = 100 s of the states AFTER the last step, 2.5 and 3: 0.5^3 of 250 and 300; and what is still to come."""
    bare, shots = play(line), play(line, value=worth, scale=100.0)
    np.testing.assert_allclose(shots.score - bare.score, [250 / 8, 300 / 8])
    np.testing.assert_allclose(shots.value[0], [30.5 + 34 / 2 + 250 / 4, 34 + 250 / 2, 250])
    jax.tree.map(np.testing.assert_array_equal, shots[1:4], bare[1:4])


def cliff(end: Array, key: Array, obs: Array, action: Array) -> Step:
    """`line`, but reaching `end` terminates; all is NaN beyond it, and so is a step back, which only the dead take."""
    out = line(None, key, jnp.where((obs >= end) | (action < 0), jnp.nan, obs), action)
    return out._replace(terminated=out.next_obs[:, 0] >= end)


@pytest.mark.parametrize(("end", "rewards"), [(3.0, [21, 0, 0]), (3.5, [21, 30.5, 0])])
def test_an_end_stops_earning_and_has_no_terminal_value(end: float, rewards: list[float]) -> None:
    """The first sequence ends after one or two steps, its last reward counted; the second lives and has its value."""
    shots = play(cliff, model=end, value=worth, scale=100.0)
    np.testing.assert_allclose(shots.reward[0], rewards)
    np.testing.assert_allclose(shots.score[0], np.dot(rewards, [1, 0.5, 0.25]))
    lived = 20 + 20 / 2 + 21 / 4
    np.testing.assert_allclose(shots.score[1], lived + (300 / 8 if end > 3 else 0))  # at 3 its last step ends it too
    assert np.all(np.isfinite(shots.obs))


def flicker(model: None, key: Array, obs: Array, action: Array) -> Step:
    """Terminates at the first step only: a model may call the steps after an end ordinary."""
    return slope(model, key, obs + 1, action)._replace(terminated=obs[:, 0] == 2)


def coin(model: None, key: Array, obs: Array, action: Array) -> Step:
    """Every step ends the episode with probability 1/2, also of rows that have ended."""
    return slope(model, key, obs, action)._replace(terminated=jax.random.bernoulli(key, 0.5, obs.shape[:1]))


def test_an_ended_row_never_earns_again() -> None:
    """Nothing after the first step, whatever the model says of the frozen state, and no value."""
    np.testing.assert_array_equal(play(flicker, value=worth, scale=1.0).score, [1.0, 0.0])
    earned = np.asarray(play(coin, jnp.ones((400, 6, 1))).reward)
    assert np.all(np.diff(earned, axis=1) <= 0)  # once 0, 0 for ever
    assert np.mean(earned[:, 3]) == pytest.approx(0.125, abs=0.05)


def by_member(model: None, key: Array, obs: Array, action: Array) -> Step:
    """What `mdp.member_step` does with three elites: row i adds i mod 3."""
    turn = jnp.arange(obs.shape[0]) % 3.0
    return Step(obs + turn[:, None], turn, lives(obs), turn)


def test_a_candidate_stays_on_its_member() -> None:
    """Candidate n adds n mod 3 at every one of its steps."""
    shots = play(by_member, jnp.zeros((7, 4, 1)))
    turn = np.arange(7)[:, None] % 3
    np.testing.assert_array_equal(shots.reward, np.broadcast_to(turn, (7, 4)))
    np.testing.assert_array_equal(shots.obs[..., 0], 2 + turn * np.arange(4))


def test_actions_are_within_bounds_when_played_and_when_reported() -> None:
    """3 and -7 are played as 1 and -1; a proposal of NaN as 0."""
    shots = play(slope, jnp.asarray([[3.0, -7.0], [jnp.nan, jnp.inf]])[..., None])
    np.testing.assert_array_equal(shots.action[..., 0], [[1, -1], [0, 1]])
    np.testing.assert_array_equal(shots.reward, [[1, -1], [0, 1]])


def dice(model: None, key: Array, obs: Array, action: Array) -> Step:
    """Rewards are fresh uniform draws."""
    return slope(model, key, obs, action)._replace(reward=jax.random.uniform(key, obs.shape[:1]))


def test_model_and_proposal_draw_with_keys_of_their_own() -> None:
    """Sixty rewards and sixty actions, no two alike."""
    shots = shoot(
        dice,
        lambda t, key, obs: jax.random.uniform(key, (10, 1)),
        NOTHING,
        KEY,
        jnp.zeros(1),
        candidates=10,
        horizon=6,
        discount=1.0,
    )
    assert len(np.unique(np.concatenate([np.ravel(shots.reward), np.ravel(shots.action)]))) == 120


def test_a_proposal_sees_its_step_and_the_predicted_states() -> None:
    """Action = step / 10 + state / 100 along the line from 2: 0.02, 0.1202, 0.221402."""
    shots = shoot(
        line,
        lambda t, key, obs: t / 10 + obs / 100,
        NOTHING,
        KEY,
        jnp.asarray([2.0]),
        candidates=3,
        horizon=3,
        discount=1.0,
    )
    np.testing.assert_allclose(shots.action[..., 0], [[0.02, 0.1202, 0.221402]] * 3, rtol=1e-5)


def explode(bad: Array, key: Array, obs: Array, action: Array) -> Step:
    """A full action makes the next state `bad`, and the state is part of the reward."""
    return Step(jnp.where(action > 0.9, bad, obs), action[:, 0] + obs[:, 0] - 2, lives(obs), obs[:, 0])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_candidate_whose_model_explodes_is_ruled_out(bad: float) -> None:
    """Its score is -inf, its weight 0 for any kappa, and the plan that of the other alone."""
    shots = play(explode, SEQUENCES.at[1, 2].set(0.5), model=bad, value=worth, scale=1.0)
    np.testing.assert_allclose(shots.score, [-np.inf, 0.5 / 4 + 2 / 8])
    plan = average(shots, score_weights(shots.score, 0.0))
    assert_close((plan.value, *plan.trajectory), jax.tree.map(lambda x: x[1], tuple(shots)))


def test_weights_are_a_softmax_of_kappa_times_the_score() -> None:
    """By hand: kappa 2 and scores 0, ln 2, -inf give 1 : 4 : 0; scores of a million do not overflow."""
    np.testing.assert_allclose(score_weights(jnp.asarray([0.0, np.log(2), -np.inf]), 2.0), [0.2, 0.8, 0], rtol=1e-6)
    np.testing.assert_allclose(
        score_weights(jnp.asarray([1e6, 1e6 - 1]), 1.0), [1 / (1 + np.exp(-1)), 0.26894], rtol=1e-4
    )
    np.testing.assert_allclose(score_weights(jnp.asarray([5.0, -7.0, -np.inf, 2.0]), 0.0), [1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(score_weights(jnp.asarray([5.0, 7.0, 6.0]), 1e6), [0, 1, 0])
    np.testing.assert_allclose(score_weights(jnp.asarray([-np.inf, -np.inf]), 10.0), [0.5, 0.5])


def test_the_average_is_a_plan_by_hand() -> None:
    """Weights 1/4 and 3/4 of everything; without a terminal value the plan has no opinion of later steps."""
    plan = average(play(line, value=worth, scale=100.0), jnp.asarray([0.25, 0.75]))
    np.testing.assert_allclose(plan.action, [0.25])
    np.testing.assert_allclose(plan.trajectory.action[:, 0], [0.25, 0.125, 0.5])
    np.testing.assert_allclose(plan.trajectory.obs[:, 0], [2, 2.25, 2.375])
    np.testing.assert_allclose(plan.trajectory.reward, [20.25, 22.625, 24.25])
    np.testing.assert_allclose(plan.trajectory.value[2], 0.25 * 250 + 0.75 * 300)
    np.testing.assert_allclose(plan.value, 0.25 * (44.75 + 250 / 8) + 0.75 * (35.25 + 300 / 8))
    assert np.all(np.isnan(average(play(line), jnp.asarray([0.25, 0.75])).trajectory.value))


def test_rounding_does_not_leave_the_bounds() -> None:
    """Weights whose sum is a little more than 1 still give actions of at most 1."""
    shots = play(slope, jnp.ones((3, 2, 1)))
    plan = average(shots, jnp.full(3, 0.3334))
    np.testing.assert_array_equal(plan.action, [1.0])
    np.testing.assert_array_equal(plan.trajectory.action, np.ones((2, 1)))


def paid(model: Array, key: Array, obs: Array, action: Array) -> Step:
    """The reward is the model's parameter."""
    return Step(obs, jnp.full(obs.shape[0], model), lives(obs), obs[:, 0])


def test_each_part_gets_its_own_parameters() -> None:
    """The model's 1 and the value's 10 (times the state 2)."""
    np.testing.assert_allclose(play(paid, model=1.0, scale=10.0, value=worth).score, [1.75 + 20 / 8] * 2)


def echo(params: PlannerParams, key: Array, history: History) -> Plan:
    """A plan that tells its key, observation and guess."""
    shots = shoot(dice, given(history.guess[None]), params, key, history.now, candidates=1, horizon=2, discount=1.0)
    return average(shots, jnp.ones(1))


def test_every_episode_is_planned_for_by_itself() -> None:
    """Each has its own key, observation and guess, wherever and with whomever it is; a guess too short is refused."""
    now, guess = [[1.0], [2.0], [3.0]], np.asarray([[[0.1], [0.2]], [[0.3], [0.4]], [[0.5], [0.6]]])
    plan = each_episode(echo, 2)
    together = plan(NOTHING, keys(5, 6, 5), history(now, guess))
    np.testing.assert_allclose(together.trajectory.obs[:, 0, 0], [1, 2, 3])
    np.testing.assert_allclose(together.trajectory.action, guess, rtol=1e-6)
    np.testing.assert_array_equal(together.trajectory.reward[0], together.trajectory.reward[2])
    assert not np.any(np.asarray(together.trajectory.reward[0]) == np.asarray(together.trajectory.reward[1]))
    alone = plan(NOTHING, keys(6), history(now[1:2], guess[1:2]))
    assert_close(alone, jax.tree.map(lambda x: x[1:2], together))
    with pytest.raises(ValueError, match="1 steps and the planner's horizon is 2"):
        plan(NOTHING, keys(5, 6, 5), history(now, guess[:, :1]))


def test_a_penalty_needs_something_to_penalise() -> None:
    """A coefficient without a measure would do nothing."""
    with pytest.raises(UsageError, match=r"plan\.penalty_coef is 2\.0"):
        TrajectoryConfig(penalty_coef=2.0)
    assert TrajectoryConfig(penalty_coef=2.0, uncertainty="max_std").horizon == 15
