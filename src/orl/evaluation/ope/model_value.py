"""The model's estimate: the policy rolled out in every elite member from the logged first observations."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.types import ActFn, Array, Params, StepFn


class ValueFn(Protocol):
    """(params, obs [B, O]) -> [B] value of the policy from there on, in reward units."""

    def __call__(self, params: Params, obs: Array) -> Array: ...


class ModelValue(NamedTuple):
    """Of M members for E first observations, in reward units.

    Attributes:
        plain: [M, E] discounted return of the rollout. penalised: [M, E] the same less penalty * uncertainty a step.
        alive: [M, E] bool, whether the rollout had not ended within the horizon.
        uncertainty: [M, E] mean uncertainty of its steps.
    """

    plain: Array
    penalised: Array
    alive: Array
    uncertainty: Array


def observed_range(obs: ArrayLike, margin: float = 0.1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(lowest, highest) [O] of observations [N, O], each side wider by `margin` times the distance between the two."""
    rows = np.asarray(obs, np.float32)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return low - margin * (high - low), high + margin * (high - low)


def no_value(params: Params, obs: Array) -> Array:
    """[B] nothing follows the horizon."""
    return jnp.zeros(obs.shape[0])


@partial(jax.jit, static_argnames=("step", "act", "tail", "members", "horizon"))
def model_value(
    step: StepFn,
    act: ActFn,
    tail: ValueFn,
    model: Params,
    policy: Params,
    tail_params: Params,
    key: Array,
    starts: Array,
    *,
    members: int,
    horizon: int,
    discount: Array | float,
    penalty: Array | float = 0.0,
    rewards: tuple[Array | float, Array | float] = (-jnp.inf, jnp.inf),
    observations: tuple[Array | float, Array | float] = (-jnp.inf, jnp.inf),
) -> ModelValue:
    """Roll the policy's mode out from observations starts [E, O], once in each member.

    Args:
        step: a step whose row i goes through member i mod `members` (`mdp.member_step`); it says whether next
            observations are drawn or mean ones, and which uncertainty is reported.
        tail: value behind the horizon of whatever is still alive, `no_value` for none.
        penalty: reward units per unit of uncertainty.
        rewards: (lowest, highest) reward that a prediction can earn: the log's. A prediction of no number is worth the
            lowest.
        observations: (lowest, highest) [O] that rollouts are held within, such as `observed_range`. A member that has
            left the data does not come back: without bounds its rollouts run away, and the mean over all is theirs.
        key: consumed.
    """
    count = starts.shape[0]

    def one(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, None]:
        obs, alive, sums = carry
        weight, step_key = now
        out = step(model, step_key, obs, act(policy, None, obs))
        reward = jnp.clip(jnp.where(jnp.isnan(out.reward), rewards[0], out.reward), *rewards)
        unsure = jnp.nan_to_num(out.uncertainty, nan=jnp.finfo(out.uncertainty.dtype).max)
        gains = jnp.stack([weight * reward, weight * (reward - penalty * unsure), unsure, jnp.ones_like(reward)])
        going = alive & ~out.terminated
        sane = going & jnp.all(jnp.isfinite(out.next_obs), axis=-1)
        held = jnp.clip(out.next_obs, *observations)
        return (jnp.where(sane[:, None], held, obs), going, sums + jnp.where(alive, gains, 0.0)), None

    rows = count * members
    start = (jnp.repeat(starts, members, axis=0), jnp.ones(rows, bool), jnp.zeros((4, rows)))
    gamma = jnp.asarray(discount) ** jnp.arange(horizon)
    (obs, alive, sums), _ = jax.lax.scan(one, start, (gamma, jax.random.split(key, horizon)))
    beyond = jnp.where(alive, discount**horizon * tail(tail_params, obs), 0.0)
    found = (sums[0] + beyond, sums[1] + beyond, alive, sums[2] / sums[3])
    return ModelValue(*(x.reshape(count, members).T for x in found))
