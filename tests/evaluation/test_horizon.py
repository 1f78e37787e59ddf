"""Error by steps ahead, by hand; and the open loop that it measures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from orl.evaluation.figures import error_figure, prediction_figure
from orl.evaluation.horizon import break_even, horizon_errors, horizon_errors_by_dim
from orl.mdp.open_loop import open_loop
from orl.types import Array, Step


def test_errors_are_root_mean_squares_over_draws_starts_and_scaled_dimensions() -> None:
    """Two draws of one start, two steps, spreads 1 and 10: errors (3, 0), (1, 0) at first, then 40 in the second."""
    real = np.zeros((1, 2, 2), np.float32)
    drawn = np.asarray([[[[3, 0], [0, 40]]], [[[1, 0], [0, 40]]]], np.float32)
    found = horizon_errors(drawn, real, np.asarray([1.0, 10.0]))
    np.testing.assert_allclose(found, [np.sqrt((9 + 1) / 4), np.sqrt(2 * 16 / 4)])


def test_break_even_is_the_first_step_that_is_no_better_than_no_change() -> None:
    assert break_even(np.asarray([0.1, 0.5, 0.2]), np.asarray([0.2, 0.5, 0.9])) == 2
    assert break_even(np.asarray([0.1, 0.4]), np.asarray([0.2, 0.5])) is None
    assert break_even(np.asarray([0.3]), np.asarray([0.2])) == 1


def counting(params: float, key: Array, obs: Array, action: Array) -> Step:
    """The state grows by the action times `params`; it claims to end at once, and is unsure of nothing."""
    after = obs + params * action
    return Step(after, after[:, 0], jnp.ones(obs.shape[0], bool), jnp.zeros(obs.shape[0]))


def test_the_open_loop_goes_on_from_its_own_predictions_past_every_end() -> None:
    """From 1 and 10 by twice the actions (1, 2, 3) and (0, 0, 1)."""
    actions = jnp.asarray([[1.0, 2, 3], [0, 0, 1]])[..., None]
    path, reward = open_loop(counting, 2.0, jax.random.key(0), jnp.asarray([[1.0], [10.0]]), actions)
    np.testing.assert_allclose(path[..., 0], [[3, 7, 13], [10, 10, 12]])
    np.testing.assert_allclose(reward, path[..., 0])


def test_figures_hold_what_they_are_given() -> None:
    """A row a dimension (twelve at most) and a column a model; lines begin at the start."""
    rng = np.random.default_rng(0)
    real, start = rng.normal(size=(2, 5, 14)).astype(np.float32), rng.normal(size=(2, 14)).astype(np.float32)
    drawn = rng.normal(size=(3, 2, 5, 14)).astype(np.float32)
    figure = prediction_figure(real, start, {"a": drawn, "b": drawn})
    assert len(figure.axes) == 24
    lines = figure.axes[0].lines
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0].get_ydata(), [start[0, 0], *drawn[0, 0, :, 0]])
    np.testing.assert_allclose(lines[-1].get_ydata(), [start[0, 0], *real[0, :, 0]])
    shown = error_figure({"a": [0.1, None, 0.3]}, [0.5, 0.6, 0.7]).axes[0].lines
    np.testing.assert_allclose(shown[0].get_ydata(), [0.1, np.nan, 0.3])
    np.testing.assert_allclose(shown[1].get_ydata(), [0.5, 0.6, 0.7])


def test_errors_by_dimension_leave_out_what_lies_past_an_episode() -> None:
    """Two starts, of which the second has one step only; a prediction that ran away is infinitely wrong."""
    real = np.zeros((2, 2, 2), np.float32)
    drawn = np.asarray([[[3, 2], [5, np.nan]], [[4, 2], [99, 99]]], np.float32)
    inside = np.asarray([[True, True], [True, False]])
    found = horizon_errors_by_dim(drawn, real, np.asarray([1.0, 2.0]), inside)
    np.testing.assert_allclose(found, [[np.sqrt(12.5), 1.0], [5.0, np.inf]])
    np.testing.assert_allclose(horizon_errors(drawn, real, np.ones(2), inside)[0], np.sqrt((9 + 16 + 4 + 4) / 4))


def test_an_error_that_is_no_number_is_worse_than_no_change() -> None:
    assert break_even(np.asarray([0.1, np.nan]), np.asarray([0.2, 0.5])) == 2
    assert break_even(np.asarray([0.1, np.inf]), np.asarray([0.2, np.inf])) == 2
