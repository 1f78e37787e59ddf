"""Shooting: candidate action sequences played through the model, scored, and averaged into a plan.

Everything here is about ONE episode, with ``N`` candidates for its next ``H`` actions as the rows of the model;
`each_episode` makes a planner of it. The order of the rows never changes, so that with `mdp.member_step` candidate n
follows elite n mod elites from its first step to its last, whatever else is planned for in the same call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from orl.planning.base import History, Plan, PlanFn, Trajectory
from orl.types import Array, Params, StepFn

Propose = Callable[[Array, Array, Array], Array]
"""(step number, key, obs [N, O]) -> actions [N, A] to try at this step; the key is consumed."""


class PlannerParams(NamedTuple):
    """What a planner's functions are given: parameters of the model, of the prior and of the value (or None)."""

    model: Params
    prior: Params
    value: Params


class PriorFn(Protocol):
    """What the behaviour would do: (params, obs [N, O]) -> action [N, A] in [-1, 1]."""

    def __call__(self, params: Params, obs: Array) -> Array: ...


class ValueFn(Protocol):
    """Discounted rewards expected from a state on: (params, obs [N, O]) -> [N]."""

    def __call__(self, params: Params, obs: Array) -> Array: ...


class Shots(NamedTuple):
    """N candidates as the model saw them.

    Attributes:
        score: [N] discounted rewards until the end or the horizon, plus discount^H times the terminal value of rows
            that had not ended; -inf where the model's answer was not finite.
        obs: [N, H, O] before each action; frozen once a row has ended.
        action: [N, H, A] as played, in [-1, 1].
        reward: [N, H] of each step, 0 after the end.
        value: [N, H] what the score counts after each step, discounted to it; NaN without a terminal value.
    """

    score: Array
    obs: Array
    action: Array
    reward: Array
    value: Array


def shoot(
    step: StepFn,
    propose: Propose,
    params: PlannerParams,
    key: Array,
    obs: Array,
    *,
    candidates: int,
    horizon: int,
    discount: float,
    value: ValueFn | None = None,
) -> Shots:
    """Play `candidates` sequences from `obs` [O]; their actions may depend on the predicted states.

    `mdp.rollout` follows a policy, which does not know the step's number; this follows a proposal, which does. As
    there, rows that have ended earn nothing more and stay where they were. The key is consumed.
    """

    def one_step(carry: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        rows, alive = carry
        number, step_key = now
        propose_key, model_key = jax.random.split(step_key)
        action = within_bounds(propose(number, propose_key, rows))
        out = step(params.model, model_key, rows, action)
        going = alive & ~out.terminated
        seen = rows, action, jnp.where(alive, out.reward, 0.0)
        return (jnp.where(going[:, None], out.next_obs, rows), going), seen

    start = jnp.tile(obs, (candidates, 1)), jnp.ones(candidates, bool)
    numbers, step_keys = jnp.arange(horizon), jax.random.split(key, horizon)
    (last, alive), (rows, action, reward) = jax.lax.scan(one_step, start, (numbers, step_keys))
    terminal = jnp.zeros(candidates) if value is None else jnp.where(alive, value(params.value, last), 0.0)
    to_go = rewards_to_go(reward, terminal, discount)
    after = jnp.full_like(reward, jnp.nan) if value is None else to_go[1:]
    score = jnp.where(jnp.isfinite(to_go[0]), to_go[0], -jnp.inf)
    return Shots(score, *(x.swapaxes(0, 1) for x in (rows, action, reward, after)))


def given(actions: Array) -> Propose:
    """The proposal to play the sequences `actions` [N, H, A], whatever happens."""
    return lambda number, key, obs: actions[:, number]


def rewards_to_go(reward: Array, terminal: Array, discount: float) -> Array:
    """[H+1, N] of rewards [H, N] and what follows, `terminal` [N]: g_t = r_t + discount g_{t+1}, g_H = terminal.

    Reference: the return of Sutton and Barto, 2018, section 3.3.
    """

    def one_back(later: Array, reward: Array) -> tuple[Array, Array]:
        now = reward + discount * later
        return now, now

    _, to_go = jax.lax.scan(one_back, terminal, reward, reverse=True)
    return jnp.concatenate([to_go, terminal[None]])


def within_bounds(action: Array) -> Array:
    """The action [..., A] clipped to [-1, 1]; 0 for NaN, lest a broken model reach the next plan by its guess."""
    return jnp.clip(jnp.nan_to_num(action), -1.0, 1.0)


def score_weights(score: Array, kappa: float) -> Array:
    """Weights [N] proportional to exp(kappa * score) that sum to 1; 0 where a score is not finite.

    kappa is per reward unit. If no score is finite the weights are all equal.

    Reference: MBOP-Trajopt, arXiv:2008.05556.
    """
    return jax.nn.softmax(jnp.where(jnp.isfinite(score), kappa * score, jnp.finfo(score.dtype).min))


def average(shots: Shots, weights: Array) -> Plan:
    """The plan that is the mean of the candidates under `weights` [N]: their actions, states, rewards and scores.

    States and rewards are therefore those of the candidates, not what the averaged actions would lead to.
    """

    def mean(x: Array) -> Array:
        weight = weights.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.sum(jnp.where(weight > 0, weight * x, 0.0), axis=0)  # a candidate of no weight may be NaN

    score, obs, action, reward, value = (mean(x) for x in shots)
    action = jnp.clip(action, -1.0, 1.0)  # weights sum to 1 only up to rounding
    return Plan(action[0], Trajectory(obs, action, reward, value), score)


def each_episode(plan: Callable[[PlannerParams, Array, History], Plan], horizon: int) -> PlanFn:
    """The planner that calls `plan` (params, key, history of one episode) for every episode with its own key.

    The guess must be as long as the horizon: JAX would silently repeat its last step.
    """

    def plan_all(params: PlannerParams, keys: Array, history: History) -> Plan:
        if history.guess.shape[1] != horizon:
            raise ValueError(f"the guess has {history.guess.shape[1]} steps and the planner's horizon is {horizon}")
        return jax.vmap(plan, in_axes=(None, 0, 0))(params, keys, history)

    return plan_all
