"""MOReL's pessimism: an absorbing HALT state behind every (state, action) the ensemble does not know."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from orl.types import Array, Params, Step, StepFn


class HaltParams(NamedTuple):
    """The model's parameters and the detector's scalars: `threshold` of the uncertainty, `value` of the HALT state."""

    model: Params
    threshold: Array
    value: Array


def discrepancy_threshold(discrepancy: Array, rule: str, beta: float) -> Array:
    """Threshold above which a (state, action) counts as unknown.

    Args:
        discrepancy: [N] of the logged state-actions.
        rule: "mean_std" for mean + beta * std (the paper), "max" for beta * max (the official code).

    Reference: MOReL, arXiv:2005.05951, and its code in mjrl.
    """
    if rule == "max":
        return beta * jnp.max(discrepancy)
    return jnp.mean(discrepancy) + beta * jnp.std(discrepancy)


def absorbing_value(kappa: Array, discount: float) -> Array:
    """Value of a state that pays -kappa (a scalar) per step for ever: -kappa / (1 - discount).

    Reference: HALT of MOReL, arXiv:2005.05951.
    """
    return -kappa / (1.0 - discount)


def halt(step: StepFn, discount: float, *, bootstrapped: bool) -> StepFn:
    """The pessimistic MDP: where the uncertainty exceeds the threshold the next state is HALT.

    HALT is absorbing, so it is encoded as an end of the episode whose reward carries HALT's value:

    * ``bootstrapped=True``: r(s, a) + discount * value, exactly the paper's MDP when `value` = -kappa / (1 - discount)
      (the unknown pair itself still earns r(s, a)).
    * ``bootstrapped=False``: `value` alone, paid once in place of the reward (the "r_min + offset" of the paper's
      experiments and of the off-policy re-implementations).

    `params` of the returned step is a `HaltParams`; its `uncertainty` output is the discrepancy itself.

    Reference: MOReL, arXiv:2005.05951, its pessimistic MDP. One-off and absorbing forms agree only if
    value_once = r(s, a) - discount * kappa / (1 - discount).
    """

    def halted(params: HaltParams, key: Array, obs: Array, action: Array) -> Step:
        out = step(params.model, key, obs, action)
        unknown = is_unknown(params, out.uncertainty)
        at_halt = (
            out.reward + discount * params.value if bootstrapped else jnp.broadcast_to(params.value, out.reward.shape)
        )
        return out._replace(
            reward=jnp.where(unknown, at_halt, out.reward),
            terminated=jnp.logical_or(out.terminated, unknown),
        )

    return halted


def is_unknown(params: HaltParams, uncertainty: Array) -> Array:
    """U(s, a) [B]: whether the detector calls these state-actions unknown; a NaN uncertainty is unknown too."""
    return ~(uncertainty <= params.threshold)
