"""Values of observations fitted to a log: the behaviour's by regression, the best one's by implicit Q-learning."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.agents import behaviour_value, implicit_value
from orl.agents.behaviour_value import fit_behaviour_value
from orl.agents.implicit_value import expectile_loss, fit_implicit_value
from orl.agents.state_value import init_value, state_value
from orl.data.normalise import Normaliser
from orl.data.returns import discounted_sums
from orl.types import Transition


@pytest.fixture(autouse=True)
def short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer updates than a real log needs, at a rate at which a small chain settles."""
    monkeypatch.setattr(behaviour_value, "STEPS", 300)
    monkeypatch.setattr(implicit_value, "STEPS", 4000)


def test_discounted_sums_by_hand() -> None:
    """Two stretches, rewards 1 2 4 | 8 16 with discount 1/2."""
    found = discounted_sums(np.asarray([1.0, 2, 4, 8, 16]), np.asarray([2, 2, 2, 4, 4]), 0.5)
    np.testing.assert_allclose(found, [1 + 1 + 1, 2 + 2, 4, 8 + 8, 16])
    assert discounted_sums(np.zeros(0), np.zeros(0, np.int64), 0.5).shape == (0,)


def test_a_value_answers_in_reward_units() -> None:
    """Inputs are standardised, outputs are not: with units 3 +- 2 a zero network says 3."""
    params = init_value(jax.random.key(0), 4)
    zero = jax.tree.map(jnp.zeros_like, params.net)
    params = params._replace(net=zero, returns=Normaliser(jnp.asarray([3.0]), jnp.asarray([2.0])))
    np.testing.assert_allclose(state_value(params, jnp.ones((2, 5, 4))), np.full((2, 5), 3.0))


def test_the_expectile_loss_has_its_minimum_at_the_expectile() -> None:
    """Of {0, 1} alike the expectile at 0.9 is 0.9, at 0.5 the mean; of N(0, 1) at 0.1 about -0.86."""

    def minimiser(sample: np.ndarray, expectile: float) -> float:
        grid = np.linspace(-2, 2, 401)
        return float(grid[np.argmin([expectile_loss(jnp.asarray(sample - m), expectile) for m in grid])])

    assert minimiser(np.asarray([0.0, 1.0]), 0.9) == pytest.approx(0.9, abs=0.006)
    assert minimiser(np.asarray([0.0, 1.0]), 0.5) == pytest.approx(0.5, abs=0.006)
    assert minimiser(np.random.default_rng(0).standard_normal(20_000), 0.1) == pytest.approx(-0.86, abs=0.03)
    np.testing.assert_allclose(expectile_loss(jnp.asarray([2.0, -1.0]), 0.75), (0.75 * 4 + 0.25 * 1) / 2)


def corridor(episodes: int, cut: bool) -> dict[str, np.ndarray]:
    """Rooms 0 to 4 (one-hot): a step right pays 1 from room 3 and ends in room 4 (unless `cut` after three steps),
    a step left pays 0. The behaviour goes right two times in three.
    """
    rng = np.random.default_rng(0)
    rows: dict[str, list] = {name: [] for name in ("obs", "action", "reward", "next_obs", "terminated", "last")}
    for _ in range(episodes):
        room, first = int(rng.integers(0, 4)), len(rows["obs"])
        for _ in range(3 if cut else 200):
            right = rng.random() < 2 / 3
            after = room + 1 if right else max(room - 1, 0)
            for name, value in (
                ("obs", np.eye(5)[room]),
                ("action", [1.0 if right else -1.0]),
                ("reward", float(right and room == 3)),
                ("next_obs", np.eye(5)[after]),
                ("terminated", float(after == 4)),
            ):
                rows[name].append(value)
            room = after
            if room == 4:
                break
        rows["last"] += [len(rows["obs"]) - 1] * (len(rows["obs"]) - first)
    return {name: np.asarray(values, np.int64 if name == "last" else np.float32) for name, values in rows.items()}


def exact(policy_right: float, discount: float) -> np.ndarray:
    """[4] values of the rooms by a linear solve."""
    step = np.zeros((4, 4))
    for room in range(4):
        if room < 3:
            step[room, room + 1] += policy_right
        step[room, max(room - 1, 0)] += 1 - policy_right
    return np.linalg.solve(np.eye(4) - discount * step, policy_right * np.asarray([0, 0, 0, 1.0]))


@pytest.mark.parametrize("cut", [False, True])
def test_the_behaviours_value_is_that_of_a_linear_solve(cut: bool) -> None:
    """Also where every episode is cut off after three steps, and returns have to be completed by the fit itself."""
    data = corridor(600, cut)
    ends = data["last"]
    value = fit_behaviour_value(
        data["obs"],
        data["next_obs"][ends],
        data["reward"],
        ends,
        data["terminated"][ends] < 0.5,
        discount=0.8,
        key=jax.random.key(0),
    )
    found = state_value(value, jnp.eye(5)[:4])
    np.testing.assert_allclose(found, exact(2 / 3, 0.8), atol=0.06)
    if cut:  # what was logged alone, with nothing beyond the cut, is far too little in the first rooms
        assert float(found[0]) > 1.5 * np.mean(discounted_sums(data["reward"], ends, 0.8)[data["obs"][:, 0] > 0])


def test_the_best_value_is_that_of_always_going_right() -> None:
    """An expectile of 0.99 nears the best logged action's value: 0.8^(3 - room); 0.5 stays at the behaviour's."""
    data = corridor(400, cut=False)
    log = Transition(**{name: jnp.asarray(data[name]) for name in Transition._fields})
    best = fit_implicit_value(log, discount=0.8, expectile=0.99, key=jax.random.key(0))
    np.testing.assert_allclose(state_value(best, jnp.eye(5)[:4]), 0.8 ** np.arange(3, -1, -1), atol=0.08)
    mean = fit_implicit_value(log, discount=0.8, expectile=0.5, key=jax.random.key(0))
    np.testing.assert_allclose(state_value(mean, jnp.eye(5)[:4]), exact(2 / 3, 0.8), atol=0.08)
