"""Branched model rollouts with an alive mask."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.types import ActFn, Array, Params, Step, StepFn, Transition


class Rollout(NamedTuple):
    """H model steps from B states; rows that ended earlier stay in place but are not alive.

    Attributes:
        steps: transitions with leading axes [H, B].
        uncertainty: [H, B] the model's uncertainty at each step.
        alive: [H, B] bool, whether the row had not ended before this step. A row's ending step is still alive.
    """

    steps: Transition
    uncertainty: Array
    alive: Array


def rollout(step: StepFn, act: ActFn, model: Params, policy: Params, key: Array, start: Array, horizon: int) -> Rollout:
    """Follow the policy through the model for `horizon` steps from the observations `start` [B, O].

    The key is consumed. Nothing follows an end: later steps of an ended row are masked by `alive`, and their
    observations are frozen so that a runaway prediction cannot spread NaN through the batch.
    """

    def one_step(carry: tuple[Array, Array], step_key: Array) -> tuple[tuple[Array, Array], Rollout]:
        obs, alive = carry
        act_key, model_key = jax.random.split(step_key)
        action = act(policy, act_key, obs)
        out: Step = step(model, model_key, obs, action)
        row = Transition(obs, action, out.reward, out.next_obs, out.terminated.astype(jnp.float32))
        going = alive & ~out.terminated
        return (jnp.where(going[:, None], out.next_obs, obs), going), Rollout(row, out.uncertainty, alive)

    alive = jnp.ones(start.shape[0], bool)
    _, result = jax.lax.scan(one_step, (start, alive), jax.random.split(key, horizon))
    return result


def model_returns(
    step: StepFn,
    act: ActFn,
    model: Params,
    policy: Params,
    key: Array,
    start: Array,
    horizon: int,
    discount: float = 1.0,
) -> Array:
    """[B] (discounted) return of each row's model rollout, until its end or `horizon` steps."""
    result = rollout(step, act, model, policy, key, start, horizon)
    return discounted_total(result.steps.reward, result.alive, discount)


def discounted_total(values: Array, alive: Array, discount: float | Array) -> Array:
    """[B] sum_t discount^t values_t over the steps that are `alive`, both [H, B].

    Reference: the return of Sutton and Barto, 2018, section 3.3.
    """
    weight = discount ** jnp.arange(values.shape[0])[:, None]
    return jnp.sum(jnp.where(alive, weight * values, 0.0), axis=0)
