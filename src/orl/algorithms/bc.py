"""Behaviour cloning: the yardstick every other policy is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import optax

from orl.agents.actor import PolicyParams, actor_optimiser, cloning_loss, init_policy, make_act, make_actor
from orl.agents.config import PolicyConfig
from orl.algorithms.base import Algorithm, Entry, Problem
from orl.data.normalise import Normaliser
from orl.types import Array, Batch, Metrics, Params


@dataclass(frozen=True)
class BcConfig(PolicyConfig):
    """Settings of behaviour cloning."""


class BcState(NamedTuple):
    """The policy and its optimiser."""

    policy: PolicyParams
    actor_opt: optax.OptState


def build(config: BcConfig, problem: Problem) -> Algorithm:
    """Regress the logged action on the observation (squared error, i.e. a Gaussian of fixed width)."""
    actor = make_actor(config, problem.action_dim)
    act, adam = make_act(actor), actor_optimiser(config, problem.total_updates)

    def init(key: Array, normaliser: Normaliser) -> BcState:
        policy = init_policy(actor, key, normaliser)
        return BcState(policy, adam.init(policy.actor))

    def update(key: Array, state: BcState, batch: Batch, world: Params) -> tuple[BcState, Metrics]:
        def loss_fn(params: Params) -> Array:
            action = act(state.policy._replace(actor=params), None, batch.real.obs)
            return cloning_loss(action, batch.real.action)

        loss, grads = jax.value_and_grad(loss_fn)(state.policy.actor)
        updates, actor_opt = adam.update(grads, state.actor_opt)
        policy = state.policy._replace(actor=optax.apply_updates(state.policy.actor, updates))
        return BcState(policy, actor_opt), {"actor_loss": loss}

    return Algorithm(init, update, lambda state: state.policy, act, real_rows=config.batch_size)


ENTRY = Entry(BcConfig, build, "behaviour cloning: imitate the log", needs_model=False)
