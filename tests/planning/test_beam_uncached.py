"""The beam over real networks against one without a cache: windows that fill up, padding, draws, episodes apart."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from made_worlds import assert_close
from numpy.typing import NDArray
from uncached import Tokens, Uncached, some_history, tiny_sequence

from orl.planning.base import History, Plan
from orl.planning.beam import BeamConfig, make_beam
from orl.sequence.model import SequenceModel
from orl.sequence.sampling import Filter
from orl.types import Array

pytestmark = pytest.mark.usefixtures("quick_compiles")

SIZES = {"beam": 3, "n_expand": 2, "k_obs": 0, "cdf_act": 0.3}


class Found(NamedTuple):
    """A plan of one episode: tokens [H, D], reward and value [H], score."""

    tokens: NDArray
    reward: NDArray
    value: NDArray
    score: float


def reference(
    model: SequenceModel, uncached: Uncached, config: BeamConfig, key: Array, history: History, row: int
) -> Found:
    """The search written out, token by token and list by list."""
    past, now = uncached.opening(history, row)
    act, obs = Filter(config.k_act, config.cdf_act, config.temperature), Filter(config.k_obs)
    including, g = model.config.reward_to_go == "including", model.config.discount
    plans: list[Tokens] = [[] for _ in range(config.beam)]
    sums: list[tuple[list, list, float]] = [([], [], 0.0)] * config.beam  # rewards, values, log-probability
    for step in range(config.horizon):
        step_key = jax.random.fold_in(key, step)
        plans = [[*plan, list(now) if step == 0 else []] for plan in plans]
        log = np.asarray([total for _, _, total in sums])
        if step:
            log = log + uncached.go_on(past, plans, step_key, 0, model.obs_dim, obs)
        plans = [[list(each) for each in plan] for plan in plans for _ in range(config.n_expand)]
        log = log.repeat(config.n_expand)
        log = log + uncached.go_on(past, plans, step_key, model.obs_dim, model.action_dim, act)
        sampled = config.outcome == "sampled"
        reward, value, more = uncached.outcome(past, plans, step_key, sampled=sampled)
        log, scores, grown = log + more, [], []
        for child in range(len(plans)):
            rewards, values, _ = sums[child // config.n_expand]
            rewards, values = [*rewards, reward[child]], [*values, value[child]]
            known = step if including else step + 1
            score = sum(g**k * rewards[k] for k in range(known)) + g**known * values[-1]
            scores.append(log[child] if config.objective == "likelihood" else score)
            grown.append((rewards, values, log[child]))
        order = np.argsort(-np.asarray(scores), kind="stable")[: config.beam]
        plans, sums = [plans[i] for i in order], [grown[i] for i in order]
    return Found(np.asarray(plans[0]), np.asarray(sums[0][0]), np.asarray(sums[0][1]), scores[order[0]])


CASES = {  # with windows of three transitions these are read anew once or twice
    "no context": ({}, {"context": 0, "horizon": 5}, [0, 0]),
    "two past steps": ({"value_input": "token"}, {"context": 2, "horizon": 3}, [0, 1, 2]),
    "one past step, likely": (
        {},
        {"context": 1, "horizon": 4, "objective": "likelihood", "k_obs": 1, "temperature": 2.0},
        [1, 0],
    ),
    "lucky": ({"arch": "lstm"}, {"context": 1, "horizon": 3, "outcome": "sampled"}, [0, 1]),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_search_without_a_cache(case: str) -> None:
    """Tokens, rewards, values and scores of every episode, to beyond the window."""
    model_settings, settings, lengths = CASES[case]
    model, params = tiny_sequence(**model_settings)
    config = BeamConfig(**(SIZES | settings))
    history = some_history(lengths, config.context)
    keys = jax.random.split(jax.random.key(1), len(lengths))
    plan = jax.jit(make_beam(config, model))(params, keys, history)
    assert_consistent(plan)
    uncached = Uncached(model, params, config.context, config.beam * config.n_expand)
    centres = uncached.centres
    for row in range(len(lengths)):
        found = reference(model, uncached, config, keys[row], history, row)
        numbers = centres[np.arange(6), found.tokens]
        numbers[0, :2] = history.now[row]
        np.testing.assert_allclose(plan.trajectory.obs[row], numbers[:, :2], atol=1e-6)
        np.testing.assert_allclose(plan.trajectory.action[row], numbers[:, 2:4], atol=1e-6)
        np.testing.assert_allclose(plan.trajectory.reward[row], found.reward, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(plan.trajectory.value[row], found.value, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(plan.value[row], found.score, rtol=1e-3, atol=1e-4)


def assert_consistent(plan: Plan) -> None:
    """The action to play is the trajectory's first."""
    np.testing.assert_array_equal(plan.action, plan.trajectory.action[:, 0])


@cache
def small() -> tuple[Any, Any, list[int]]:
    """Parameters, a compiled beam of two steps from two past ones, and a list that grows with every compilation."""
    model, params = tiny_sequence()
    search, traces = make_beam(BeamConfig(**(SIZES | {"horizon": 2, "context": 2})), model), []

    def traced(*args: Any) -> Plan:
        traces.append(1)
        return search(*args)

    return params, jax.jit(traced), traces


def test_episodes_do_not_mix_and_new_histories_do_not_compile_again() -> None:
    """Three episodes plan as each would alone with its key, in whatever order, after one compilation."""
    params, compiled, traces = small()
    keys, past, order = jax.random.split(jax.random.key(2), 3), some_history([0, 1, 2], 2), np.asarray([2, 0, 1])
    together = compiled(params, keys, past)
    count = len(traces)
    turned = compiled(params, keys[order], jax.tree.map(lambda x: x[order], past))
    assert_close(turned, jax.tree.map(lambda x: x[order], together))
    others = some_history([2, 2, 2], 2, seed=1)
    mixed = compiled(params, keys, jax.tree.map(lambda x, y: x.at[1].set(y[1]), others, past))
    assert_close(*(jax.tree.map(lambda x: x[1], plan) for plan in (mixed, together)))
    assert not np.allclose(mixed.value[0], together.value[0])
    assert len(traces) == count
    for i in range(3):
        alone = compiled(params, keys[i : i + 1], jax.tree.map(lambda x, i=i: x[i : i + 1], past))
        assert_close(alone, jax.tree.map(lambda x, i=i: x[i : i + 1], together))


def test_what_is_not_there_has_no_say() -> None:
    """Padding may hold anything; what is there may not."""
    params, compiled, _ = small()
    keys, past = jax.random.split(jax.random.key(3), 3), some_history([1, 1, 1], 2)
    plan = compiled(params, keys, past)
    for place, same in ((0, True), (1, False)):
        other = past._replace(reward=past.reward.at[:, place].set(0.9), obs=past.obs.at[:, place].set(-0.9))
        assert np.allclose(compiled(params, keys, other).value, plan.value, atol=1e-5) == same
    longer = compiled(params, keys, past._replace(length=past.length + 1))
    assert not np.any(np.isclose(longer.value, plan.value, atol=1e-5))
