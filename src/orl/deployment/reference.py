"""What an exported file has to compute, by the policy's and the model's own functions in JAX.

StableHLO files hold this program; files of other formats are held against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from orl.data.border import to_agent_action, to_env_action
from orl.data.history import first_stack, shift_history
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.uncertainty import max_pairwise
from orl.types import ActFn, Array, Params, Spec

ACTION, UNCERTAINTY, FLAG, MEMORY = "action", "uncertainty", "out_of_distribution", "next_memory"
Outputs = dict[str, Array]
Deployed = Callable[..., Outputs]


class Familiar(NamedTuple):
    """What tells familiar inputs from others: an ensemble, the factor and the threshold of its uncertainty."""

    ensemble: Ensemble
    params: EnsembleParams
    factor: float
    threshold: float


def disagreement(ensemble: Ensemble, params: EnsembleParams, obs: Array, action: Array) -> Array:
    """[B] MOReL's discrepancy (`max_pairwise`, arXiv:2005.05951) of (obs [B, W], action [B, A] in [-1, 1]).

    In training spreads of the next observation: a length over its standardised dimensions.
    """
    return max_pairwise(ensemble.predict(params, obs, action), params.outputs.std)


def make_answer(act: ActFn, params: Params, spec: Spec, familiar: Familiar | None) -> Deployed:
    """(stacked obs [B, W]) -> everything that is known of it, by name.

    `action` [B, A] is in the environment's units; `uncertainty` [B] and `out_of_distribution` [B] are there with a
    model; `next_memory` [B, M] with a history.
    """
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)

    def answer(stacked: Array) -> Outputs:
        chosen = act(params, None, stacked)
        action = jnp.clip(to_env_action(chosen, low, high), low, high)
        outputs = {ACTION: action}
        if familiar is not None:
            unsure = familiar.factor * disagreement(familiar.ensemble, familiar.params, stacked, chosen)
            outputs |= {UNCERTAINTY: unsure, FLAG: ~(unsure <= familiar.threshold)}  # one that is no number is unknown
        if spec.history:
            outputs[MEMORY] = remembered(stacked, action, spec)
        return outputs

    return answer


def make_deployed(answer: Deployed, spec: Spec) -> Deployed:
    """The function that is exported: (obs [B, O], and with a history memory [B, M]) -> the outputs of `answer`.

    A memory is [o_{t-1}, ..., o_{t-k}, a_{t-1}, ..., a_{t-k}, begun] with actions in [-1, 1]; where `begun` is 0 an
    episode begins, and nothing else of it is read.
    """
    if not spec.history:
        return answer
    return lambda obs, memory: answer(recalled(obs, memory, spec))


def memory_of(stacked: Array, spec: Spec) -> Array:
    """[B, M] the memory that makes the stack [B, W] of its first O numbers."""
    return jnp.concatenate([stacked[:, spec.obs_dim :], jnp.ones_like(stacked[:, :1])], axis=-1)


def recalled(obs: Array, memory: Array, spec: Spec) -> Array:
    """[B, W] the observation on top of what the memory holds, or on top of itself where an episode begins."""
    later = jnp.concatenate([obs, memory[:, :-1]], axis=-1)
    return jnp.where(memory[:, -1:] > 0.5, later, first_stack(obs, spec.history, spec.action_dim))


def remembered(stacked: Array, action: Array, spec: Spec) -> Array:
    """[B, M] the memory after `action` [B, A], in the environment's units, was played on `stacked` [B, W]."""
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    played = jnp.clip(to_agent_action(action, low, high), -1.0, 1.0)
    newest = stacked[:, : spec.obs_dim]
    return memory_of(shift_history(stacked, played, newest), spec)  # the next observation is not known yet: any
