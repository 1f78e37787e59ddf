"""Acting by planning: what is remembered, when it plans anew, episodes that begin again, units, chunks and keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from orl.errors import DataError
from orl.planning.base import History, Plan, Trajectory
from orl.planning.receding import Planner
from orl.types import Array, Spec

SPEC = Spec(2, 1, (-1.0,), (1.0,))
H = 3


def record(params: float, keys: Array, history: History) -> Plan:
    """Action h + 1 of the plan is params (x + 1 - h / 10) for the first number x of the observation; reward 100 x + h.

    Its value is all that it was told: the keys' data and the history, copied.
    """
    x, h = history.now[:, :1], jnp.arange(H)
    action, reward = params * (x + 1 - h / 10), 100 * x + h
    told = jax.tree.map(lambda leaf: leaf + 0, history)
    trajectory = Trajectory(jnp.zeros((len(x), H, 2)), action[..., None], reward, reward)
    return Plan(action[:, :1], trajectory, (jax.random.key_data(keys), told))


def planner(**settings: Any) -> Planner:
    """Two transitions remembered, plans of three steps, actions as small as the observations."""
    spec = settings.pop("spec", SPEC)
    return Planner(record, np.float32(settings.pop("params", 1.0)), spec, **({"context": 2, "horizon": H} | settings))


def at(*numbers: float) -> NDArray[np.float32]:
    """Observations [B, 2] that begin with the given numbers, and end with them doubled."""
    return np.asarray([[x, 2 * x] for x in numbers], np.float32)


def told(acting: Planner) -> History:
    """The history of the newest plan."""
    assert acting.last is not None
    return acting.last.value[1]


def test_it_remembers_what_was_seen_done_and_paid() -> None:
    """Three steps of two episodes: the latest transition last, no more than two of them, then the older one goes."""
    acting = planner()
    seen = [at(-0.9, -0.8), at(-0.7, -0.6), at(-0.5, -0.4), at(-0.3, -0.2)]
    paid = [None, [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    done, buffer = [], np.empty((2, 2), np.float32)
    for step, (obs, reward) in enumerate(zip(seen, paid, strict=True)):
        buffer[:] = obs  # an environment may use the same array again
        done.append(acting(buffer, reward))
        np.testing.assert_allclose(done[-1][:, 0], obs[:, 0] + 1, rtol=1e-6)
        past = told(acting)
        np.testing.assert_array_equal(past.now, obs)
        np.testing.assert_array_equal(past.length, [min(step, 2)] * 2)
        for back in range(1, min(step, 2) + 1):
            np.testing.assert_array_equal(past.obs[:, -back], seen[step - back])
            np.testing.assert_allclose(past.action[:, -back], done[step - back], rtol=1e-6)
            np.testing.assert_array_equal(past.reward[:, -back], paid[step - back + 1])
        assert past.obs.shape == (2, 2, 2)
        assert len(acting.seconds) == step + 1
    assert all(each > 0 for each in acting.seconds)


def test_a_reward_that_nobody_tells_is_the_one_expected() -> None:
    """The plan's own, of the step that was acted; a scalar will do for a single episode."""
    acting = planner(plan_freq=2)
    acting(at(0.1)[0])
    acting(at(0.2)[0])  # the second step of a plan that expects 10, 11, 12
    acting(at(0.3)[0])
    np.testing.assert_allclose(told(acting).reward, [[10, 11]], rtol=1e-6)
    acting(at(0.4)[0], 7.0)
    acting(at(0.5)[0], np.asarray([8.0]))
    np.testing.assert_allclose(told(acting).reward, [[7, 8]], rtol=1e-6)


def test_a_reset_forgets_these_rows_only() -> None:
    """The middle one of three episodes begins again: no past, no guess, and a new plan for all."""
    for rows in ([1], np.asarray([False, True, False])):
        acting = planner(plan_freq=3)
        acting(at(-0.8, -0.8, -0.7))
        acting.reset(rows)
        acting(at(-0.6, -0.5, -0.4), [1.0, 2.0, 3.0])
        assert len(acting.seconds) == 2
        past = told(acting)
        np.testing.assert_array_equal(past.length, [1, 0, 1])
        np.testing.assert_array_equal(past.obs[[0, 2], -1], at(-0.8, -0.7))
        np.testing.assert_array_equal(past.reward[[0, 2], -1], [1, 3])
        np.testing.assert_allclose(past.guess[:, 0, 0], [0.1, 0, 0.2], atol=1e-6)  # x + 1 - 0.1 of x = -0.8 and -0.7
        np.testing.assert_array_equal(past.guess[1], np.zeros((H, 1)))
        acting(at(-0.3, -0.2, -0.1), [4.0, 5.0, 6.0])  # still of that plan, and row 1 goes on like the others
        assert len(acting.seconds) == 2
        acting.reset()
        acting(at(-0.3, -0.2, -0.1))
        assert len(acting.seconds) == 3
        np.testing.assert_array_equal(told(acting).length, [0, 0, 0])
        np.testing.assert_array_equal(told(acting).guess, np.zeros((3, H, 1)))


def test_after_a_reset_the_past_grows_again() -> None:
    """From nothing, by one transition a step, beside an episode that has had two all along."""
    acting = planner()
    for x in (-0.9, -0.8, -0.7):
        acting(at(x, x))
    acting.reset([0])
    lengths = []
    for x in (-0.6, -0.5, -0.4):
        acting(at(x, x), [x, x])
        lengths.append(told(acting).length.tolist())
    assert lengths == [[0, 2], [1, 2], [2, 2]]
    np.testing.assert_array_equal(told(acting).obs[0], at(-0.6, -0.5))
    np.testing.assert_array_equal(told(acting).obs[1], at(-0.6, -0.5))
    np.testing.assert_array_equal(told(acting).reward, np.float32([[-0.5, -0.4]] * 2))
    unborn = planner()
    unborn.reset([0])  # before anything was seen there is nothing to forget
    assert unborn.last is None


def test_other_many_episodes_are_new_ones() -> None:
    """A batch of another size begins anew, with nothing remembered."""
    acting = planner(plan_freq=3)
    acting(at(0.1, 0.2))
    acting(at(0.3, 0.4, 0.5), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(told(acting).length, [0, 0, 0])
    assert len(acting.seconds) == 2


def test_several_steps_of_a_plan_are_acted() -> None:
    """Two of three: x + 1, then 0.1 less of the same x, then a new plan whose guess is what was left, moved up."""
    acting = planner(plan_freq=2)
    actions = [acting(at(x))[0, 0] for x in (-0.9, -0.7, -0.5, -0.3)]
    np.testing.assert_allclose(actions, [0.1, 0.0, 0.5, 0.4], atol=1e-6)
    assert len(acting.seconds) == 2
    np.testing.assert_allclose(told(acting).guess[0, :, 0], [-0.1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(told(acting).action[0, :, 0], [0.1, 0.0], atol=1e-6)
    np.testing.assert_array_equal(told(acting).obs[0], at(-0.9, -0.7))


def test_the_guess_is_the_last_plan_moved_up_by_one() -> None:
    """0.5, 0.4, 0.3 leaves 0.4, 0.3, 0; nothing at an episode's first step."""
    acting = planner()
    acting(at(-0.5))
    np.testing.assert_array_equal(told(acting).guess, np.zeros((1, H, 1)))
    acting(at(0.0))
    np.testing.assert_allclose(told(acting).guess[0, :, 0], [0.4, 0.3, 0], atol=1e-6)


def test_actions_come_in_the_environments_units_and_bounds() -> None:
    """Bounds -2 and 6: -1 is -2, 0 is 2, 1/2 is 4 and what is more than 1 is 6; remembered is what lies in [-1, 1]."""
    acting = planner(spec=Spec(2, 1, (-2.0,), (6.0,)))
    out = acting(at(-2, -1, -0.5, 1))
    assert (out.shape, out.dtype) == ((4, 1), np.float32)
    np.testing.assert_allclose(out[:, 0], [-2, 2, 4, 6])
    acting(at(-2, -1, -0.5, 1))
    np.testing.assert_allclose(told(acting).action[:3, -1, 0], [-1, 0, 0.5])
    np.testing.assert_allclose(acting.to_env(np.asarray([[-3.0], [0.25]], np.float32)), [[-2], [3]])


def test_one_observation_or_a_batch() -> None:
    """A vector gives a vector, a batch of one a batch; other sizes are refused."""
    alone, batch = planner(), planner()
    for x in (-0.4, -0.3):
        one, many = alone(at(x)[0].tolist()), batch(at(x))
        assert (one.shape, many.shape) == ((1,), (1, 1))
        np.testing.assert_array_equal(one, many[0])
    for bad in (np.zeros(3), np.zeros((2, 3)), np.zeros((1, 1, 2)), np.float32(0)):
        with pytest.raises(DataError, match=r"observation of shape .*; this planner takes \[2\] or a batch"):
            alone(bad)
    np.testing.assert_array_equal(told(alone).length, [1])  # and what is refused is not remembered


def noisy(params: None, keys: Array, history: History) -> Plan:
    """A plan of luck, and of all that the episode remembers."""
    total = sum(jnp.sum(x, axis=tuple(range(1, x.ndim))) for x in history)
    action = jax.vmap(lambda key: jax.random.uniform(key, (H, 1)))(keys) - 0.1 * total[:, None, None]
    return Plan(
        action[:, 0], Trajectory(jnp.zeros((*action.shape[:2], 2)), action, action[..., 0], action[..., 0]), total
    )


@pytest.mark.parametrize("chunk", [None, 1, 2, 3])
def test_chunks_change_no_plan(chunk: int | None) -> None:
    """Five episodes a few at a time, the last chunk not full, through four steps: as all at once."""
    parts, whole = (Planner(noisy, None, SPEC, context=2, horizon=H, chunk=n) for n in (chunk, 5))
    for x in range(4):
        obs = at(*(0.1 * x + 0.01 * np.arange(5)))
        np.testing.assert_allclose(parts(obs), whole(obs), rtol=1e-6)
        assert parts.last is not None
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), parts.last, whole.last)
        assert len(np.unique(parts.last.trajectory.action)) == 5 * H
        if x == 1:
            parts.reset([4])
            whole.reset([4])


def test_every_step_and_row_has_a_key_of_its_own() -> None:
    """The seed's, folded with how many plans there were and with the row; also after a reset."""
    acting, found = planner(seed=4), []
    for step in range(3):
        acting(at(0.1, 0.2, 0.3))
        found.append(acting.last.value[0])
        root = jax.random.fold_in(jax.random.key(4), step)
        expected = [jax.random.key_data(jax.random.fold_in(root, row)) for row in range(3)]
        np.testing.assert_array_equal(found[-1], expected)
        acting.reset([1])
    assert len(np.unique(np.concatenate(found), axis=0)) == 9
    other = planner(seed=5)
    other(at(0.1, 0.2, 0.3))
    assert not np.any(np.all(other.last.value[0] == found[0], axis=1))


def test_nothing_need_be_remembered() -> None:
    """A context of none: histories without rows, whatever was paid; the guess goes on."""
    acting = planner(context=0)
    for x in (-0.5, -0.4, -0.3):
        out = acting(at(x, x), [1.0, 2.0])
        np.testing.assert_allclose(out[:, 0], [x + 1] * 2, rtol=1e-6)
    past = told(acting)
    assert (past.obs.shape, past.action.shape, past.reward.shape) == ((2, 0, 2), (2, 0, 1), (2, 0))
    np.testing.assert_array_equal(past.length, [0, 0])
    np.testing.assert_allclose(past.guess[0, :, 0], [0.5, 0.4, 0], atol=1e-6)


def test_other_parameters_are_used_at_once_and_forget() -> None:
    """Half the parameter, half the action, in a new episode, without a new compilation."""
    traces = []

    def traced(*args: Any) -> Plan:
        traces.append(1)
        return record(*args)

    acting = Planner(traced, np.float32(1.0), SPEC, context=2, horizon=H, plan_freq=3)
    acting(at(-0.5))
    acting.use(np.float32(0.5))
    np.testing.assert_allclose(acting(at(-0.5)), [[0.25]])
    np.testing.assert_array_equal(told(acting).length, [0])
    assert len(traces) == 1
