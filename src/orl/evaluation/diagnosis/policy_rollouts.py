"""Where a policy goes in the model, beside where the behaviour went in the log."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.returns import discounted_sums
from orl.mdp.rollout import discounted_total, rollout
from orl.types import ActFn, Array, Params, StepFn

Doubles = NDArray[np.float64]


class Visits(NamedTuple):
    """B rollouts of up to H steps: `value` [B] and `uncertainty` [B] are discounted sums of the reward and of u;
    obs [H, B, W], action [H, B, A], and whether each step counts [H, B]."""

    value: Doubles
    uncertainty: Doubles
    obs: NDArray[np.float32]
    action: NDArray[np.float32]
    alive: NDArray[np.bool_]


def policy_visits(
    step: StepFn,
    act: ActFn,
    model: Params,
    policy: Params,
    start: NDArray[np.float32],
    limit: NDArray[np.int64],
    horizon: int,
    discount: float,
) -> Visits:
    """The policy's mode followed through the model from `start` [B, W], row i for `limit[i]` of `horizon` steps.

    `step` reports the uncertainty to be summed. The draws are the same whatever it measures.
    """
    program = jax.jit(partial(_visits, step, act), static_argnums=4)
    out = program(model, policy, jnp.asarray(start), jnp.asarray(limit), horizon, discount)
    value, unsure = (np.asarray(x, np.float64) for x in out[:2])
    return Visits(value, unsure, *(np.asarray(x) for x in out[2:]))


def _visits(
    step: StepFn, act: ActFn, model: Params, policy: Params, start: Array, limit: Array, horizon: int, discount: Array
) -> tuple[Any, ...]:
    mode: ActFn = lambda params, key, obs: act(params, None, obs)  # noqa: E731
    result = rollout(step, mode, model, policy, jax.random.key(0), start, horizon)
    alive = result.alive & (jnp.arange(horizon)[:, None] < limit)
    sums = (discounted_total(x, alive, discount) for x in (result.steps.reward, result.uncertainty))
    return (*sums, result.steps.obs, result.steps.action, alive)


def behaviour_sums(x: NDArray, first: NDArray[np.int64], last: NDArray[np.int64], discount: float) -> Doubles:
    """[E] discounted sums of x [N] over each logged stretch; first, last: [N] where the stretch of each row lies."""
    return discounted_sums(x, last, discount)[np.unique(first)]


def outside_share(distance: NDArray, threshold: float) -> float:
    """Share of `distance` [N] beyond the threshold; what is no number lies beyond."""
    return float(np.mean(~(distance <= threshold)))


class StepRange(NamedTuple):
    """Rows visited `first` to `last` steps after the start (from 1), and the share of them outside the data."""

    first: int
    last: int
    rows: int
    outside: float


def outside_by_step(step: NDArray[np.int64], distance: NDArray, threshold: float) -> list[StepRange]:
    """Shares outside in ranges 1, 2-3, 4-7, ... of the steps [N] (from 1) at which rows were visited."""
    ranges, first = [], 1
    while first <= step.max(initial=0):
        here = (step >= first) & (step < 2 * first)
        if here.any():
            last = min(2 * first - 1, int(step.max()))
            ranges.append(StepRange(first, last, int(here.sum()), outside_share(distance[here], threshold)))
        first *= 2
    return ranges
