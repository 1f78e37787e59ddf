"""Planners in a model that sees the past: the stack of `data.history` from what a planner remembers."""

from __future__ import annotations

import jax.numpy as jnp

from orl.planning.base import History, Plan, PlanFn
from orl.types import Array, Params


def over_history(plan: PlanFn, steps: int) -> PlanFn:
    """`plan`, whose model starts from stacks [B, W], as a planner that is told the current observation and the past.

    Whoever acts must remember at least `steps` transitions. The plan's observations are the newest of each stack.
    """
    if not steps:
        return plan

    def planned(params: Params, keys: Array, history: History) -> Plan:
        out = plan(params, keys, history._replace(now=stacked_now(history, steps)))
        newest = out.trajectory.obs[..., : history.now.shape[-1]]
        return out._replace(trajectory=out.trajectory._replace(obs=newest))

    return planned


def stacked_now(history: History, steps: int) -> Array:
    """[B, W] the current observation with the last `steps` transitions, and what stands there before the beginning.

    Raises:
        ValueError: the history remembers fewer steps.
    """
    context, episodes = history.obs.shape[1], jnp.arange(history.now.shape[0])
    if context < steps:
        raise ValueError(f"a history of {steps} steps needs as many remembered, not {context}")
    earliest = history.obs[episodes, context - jnp.maximum(history.length, 1)]
    first = jnp.where((history.length > 0)[:, None], earliest, history.now)
    back = jnp.arange(1, steps + 1)
    there = (back <= history.length[:, None])[..., None]  # [B, k, 1]
    obs = jnp.where(there, history.obs[:, context - back], first[:, None])
    action = jnp.where(there, history.action[:, context - back], 0.0)
    return jnp.concatenate([history.now, *(x.reshape(len(x), -1) for x in (obs, action))], axis=-1)
