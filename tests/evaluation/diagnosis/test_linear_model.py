"""The ridge regression as a model: an exact linear system, an independent least-squares fit, copies of a column."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from orl.evaluation.diagnosis.folds import folds_of_rows
from orl.evaluation.diagnosis.linear_model import fit_linear, linear_step
from orl.mdp.open_loop import open_loop
from orl.types import Transition

A = np.array([[0.9, 0.2], [-0.1, 0.8]])
B = np.array([[0.3], [-0.7]])
DRIFT = np.array([5.0, -3.0])
PAY = np.array([1.0, -2.0, 0.5])


def linear_log(rng: np.random.Generator, rows: int, noise: float = 0.0) -> Transition:
    """Rows of s' = A s + B a + drift, r = pay (s, a) + 4, from random states around (100, 0.01)."""
    obs = rng.normal(size=(rows, 2)) * [3.0, 0.002] + [100.0, 0.01]
    action = rng.uniform(-1, 1, (rows, 1))
    reward = np.concatenate([obs, action], 1) @ PAY + 4.0
    next_obs = obs @ A.T + action @ B.T + DRIFT + noise * rng.normal(size=(rows, 2))
    return Transition(obs, action, reward, next_obs, np.zeros(rows))  # type: ignore[arg-type]


def test_a_linear_system_is_recovered_open_loop() -> None:
    rng = np.random.default_rng(0)
    model = fit_linear(linear_log(rng, 400), np.arange(400) % 5, 2)
    start, actions = np.array([[99.0, 0.5], [103.0, -0.2]]), rng.uniform(-1, 1, (2, 6, 1))
    path, reward = open_loop(
        linear_step, model, jax.random.key(0), jnp.asarray(start, jnp.float32), jnp.asarray(actions, jnp.float32)
    )
    obs = start
    for step in range(6):
        np.testing.assert_allclose(reward[:, step], np.concatenate([obs, actions[:, step]], 1) @ PAY + 4.0, rtol=1e-3)
        obs = obs @ A.T + actions[:, step] @ B.T + DRIFT
        np.testing.assert_allclose(path[:, step], obs, rtol=1e-3, atol=1e-2)


def test_with_noise_the_weights_are_those_of_least_squares() -> None:
    """The smallest penalty wins on 2000 rows, and changes the weights by about as little as it is."""
    rows = linear_log(np.random.default_rng(1), 2000, noise=0.5)
    model = fit_linear(rows, np.arange(2000) % 5, 2)
    x = np.concatenate([rows.obs, rows.action, np.ones((2000, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(x, np.asarray(rows.next_obs) - np.asarray(rows.obs), rcond=None)
    slopes = np.asarray(model.weights) * np.asarray(model.outputs.std) / np.asarray(model.inputs.std)[:, None]
    # the second column's spread of 0.002 is far below the noise: its slope is not known well to anyone
    np.testing.assert_allclose(slopes[[0, 2], :2], expected[[0, 2]], rtol=5e-3, atol=5e-3)


def test_a_copied_column_and_a_constant_one_do_no_harm() -> None:
    rng = np.random.default_rng(2)
    rows = linear_log(rng, 300)
    wide = Transition(
        np.concatenate([rows.obs, rows.obs[:, :1], np.full((300, 1), 7.0)], 1),  # type: ignore[arg-type]
        rows.action,
        rows.reward,
        np.concatenate([rows.next_obs, rows.next_obs[:, :1], np.full((300, 1), 7.0)], 1),  # type: ignore[arg-type]
        rows.terminated,
    )
    model = fit_linear(wide, np.arange(300) % 5, 4)
    out = linear_step(model, jax.random.key(0), jnp.asarray(wide.obs[:9]), jnp.asarray(wide.action[:9]))
    np.testing.assert_allclose(out.next_obs, wide.next_obs[:9], rtol=1e-3, atol=1e-2)
    assert not np.asarray(out.terminated).any()


def test_a_single_row_is_fitted_to_its_own_change() -> None:
    row = linear_log(np.random.default_rng(3), 1)
    model = fit_linear(row, np.zeros(1, np.int64), 2)
    out = linear_step(model, jax.random.key(0), jnp.asarray(row.obs), jnp.asarray(row.action))
    np.testing.assert_allclose(out.next_obs, row.next_obs, rtol=1e-4)


def test_a_history_is_read_and_carried_along() -> None:
    """o' = o + the action before: linear in the stack [o, o before, a before] alone; two steps ahead it holds."""
    rng = np.random.default_rng(4)
    obs, action, before = rng.normal(size=(3, 200, 1))
    stacked = np.concatenate([obs, rng.normal(size=(200, 1)), before], axis=1)
    after = np.concatenate([obs + before, obs, action], axis=1)
    model = fit_linear(Transition(stacked, action, obs[:, 0], after, np.zeros(200)), np.arange(200) % 5, 1)  # type: ignore[arg-type]
    start = jnp.asarray([[1.0, 9.0, 0.5]])
    path, _ = open_loop(linear_step, model, jax.random.key(0), start, jnp.asarray([[[0.25], [7.0]]]))
    np.testing.assert_allclose(path[0], [[1.5, 1.0, 0.25], [1.75, 1.5, 7.0]], rtol=1e-3)


def test_folds_are_whole_episodes_where_there_are_enough_and_stretches_where_not() -> None:
    np.testing.assert_array_equal(folds_of_rows(np.array([4, 4, 7, 9, 9, 12]), 3), [0, 0, 1, 2, 2, 0])
    np.testing.assert_array_equal(folds_of_rows(np.array([1, 2, 2, 3]), 3), [0, 1, 1, 2])
    np.testing.assert_array_equal(folds_of_rows(np.array([3, 3, 3, 5, 5, 5]), 3), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(folds_of_rows(np.array([3, 3]), 5), [0, 1])
