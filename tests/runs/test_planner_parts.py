"""What a planner over the ensemble is built of: penalty, prior and terminal value, each from its setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.agents.state_value import state_value
from orl.data.catalog import load
from orl.planning.base import History
from orl.runs.config_plan import plan_config
from orl.runs.fit_model import load_model
from orl.runs.planner import ensemble_plan, fit_value, keep_value, load_prior, load_value

START = np.asarray([[1.0, 0.0, 0.5]], np.float32)


@pytest.fixture(scope="module")
def plan(fitted: dict[str, Any], cloned: dict[str, Any], pendulum_log: str) -> Callable[..., Any]:
    """plan(prior=, value=, **settings): MPPI that averages 32 candidates alike, two steps ahead from `START`."""
    model = load_model(fitted["run"])

    def call(prior: Any = None, value: Any = None, **settings: Any) -> Any:
        table = {"samples": 32, "horizon": 2, "kappa": 0.0, "discount": 0.9} | settings
        config = plan_config({"dataset": pendulum_log, "planner": "mppi", "plan": table})
        planner, params = ensemble_plan(config, model, prior, value)
        past = jnp.zeros((1, 0, 3)), jnp.zeros((1, 0, 1)), jnp.zeros((1, 0))
        history = History(*past, jnp.asarray(START), jnp.zeros(1, jnp.int32), jnp.zeros((1, 2, 1)))
        return jax.jit(planner)(params, jax.random.split(jax.random.key(0), 1), history)

    return call


def test_the_penalty_is_taken_off_once_for_every_unit(plan: Callable[..., Any]) -> None:
    """The candidates are the same, so twice the coefficient takes off twice as much, and none takes off nothing."""
    value = [float(plan(uncertainty="max_std", penalty_coef=c).value[0]) for c in (1.0, 2.0, 3.0)]
    bare = float(plan().value[0])
    assert value[0] < bare - 0.01
    np.testing.assert_allclose(np.diff([bare, *value]), value[1] - value[0], rtol=1e-2)
    assert float(plan(uncertainty="max_std").value[0]) == pytest.approx(bare)


def test_a_prior_plays_the_cloned_behaviour(plan: Callable[..., Any], cloned: dict[str, Any]) -> None:
    """Without noise, and nothing of the last plan, the first action is bc's own."""
    prior = load_prior(Path(cloned["run"]))
    out = plan(prior=prior, sigma=0.0, beta=0.0)
    np.testing.assert_allclose(out.action, prior.act(prior.params, None, jnp.asarray(START)), atol=1e-5)
    assert float(plan(sigma=0.0, beta=0.0).action[0, 0]) == 0.0


def test_a_terminal_value_counts_after_the_last_step_and_comes_back_from_its_folder(
    plan: Callable[..., Any], pendulum_log: str, tmp_path: Path
) -> None:
    """A value of the log, at the planner's discount: discount^2 times it is what the plan is worth more."""
    config = plan_config({"dataset": pendulum_log, "planner": "mppi", "plan": {"discount": 0.9}})
    value = fit_value(load(pendulum_log), config)
    keep_value(load(pendulum_log), config, tmp_path / "value")
    again = load_value(tmp_path / "value", 3)
    jax.tree.map(np.testing.assert_array_equal, value, again)
    bare, valued = plan(), plan(value=again)
    assert np.isnan(bare.trajectory.value).all()
    more = float(valued.value[0] - bare.value[0])
    np.testing.assert_allclose(more, 0.81 * float(valued.trajectory.value[0, -1]), rtol=1e-3)
    upright, hanging = state_value(value, jnp.asarray([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    assert float(hanging) < float(upright) < 0.0
