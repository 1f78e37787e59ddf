"""MoBRAC: ReBRAC on logged rows and rollouts of MOPO's penalised model.

Unpublished as a paper; a line of the unifloral suite of offline RL algorithms. There the rollout's own action is the
anchor of a model row, so that only the logged rows, a twentieth of a batch, hold the policy near the log. Here that is
`anchor = "own"`; the default "behaviour" anchors model rows to what the log's behaviour would do there, by a clone
that is fitted to the log before training. Departs: TD3's delay of the actor in place of two batches for the critic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from orl.agents.actor import PolicyParams, make_act, make_actor
from orl.agents.behaviour_regularised import Anchors, clone_behaviour
from orl.agents.config import RolloutConfig, Td3Config
from orl.agents.sac import join
from orl.agents.td3 import begin_at, make_td3
from orl.algorithms.base import Algorithm, Entry, Problem, ensemble_of, policy_in, rows_of
from orl.algorithms.mopo import PenaltyConfig, penalised_step, penalty_metrics
from orl.data.normalise import Normaliser
from orl.dynamics.ensemble import EnsembleParams
from orl.types import Array, Batch, Metrics, NextAction, Params, Step, Transition

CLONE_KEY = 3  # the clone belongs to the log, as the model does: it is the same for every seed


@dataclass(frozen=True)
class MobracConfig(PenaltyConfig, RolloutConfig, Td3Config):
    """Settings of MoBRAC.

    Attributes:
        anchor: what model rows are held near: the cloned behaviour's action ("behaviour"), or the rollout's own
            action and next action ("own").
    """

    anchor: Literal["behaviour", "own"] = "behaviour"


class AnchoredWorld(NamedTuple):
    """The model's parameters and the cloned behaviour's, () where nothing asks for it."""

    model: EnsembleParams
    behaviour: Any


def own_anchors(batch: Batch) -> Anchors:
    """Every row's own action and the one that followed it, of logged and model rows."""
    return Anchors(join(batch).action, jax.tree.map(_joined, batch.real_next, batch.model_next))


def behaviour_anchors(batch: Batch, at: Array, at_next: Array) -> Anchors:
    """Logged actions for logged rows; for model rows the behaviour's [M, A] at their observations and the next ones."""
    known = NextAction(at_next, jnp.ones(at_next.shape[0]))
    return Anchors(_joined(batch.real.action, at), jax.tree.map(_joined, batch.real_next, known))


def build(config: MobracConfig, problem: Problem) -> Algorithm:
    """Behaviour-regularised TD3 on logged rows and branched rollouts of the penalised model."""
    td3 = make_td3(config, problem.action_dim, problem.total_updates)
    penalised = penalised_step(config, ensemble_of(problem), problem.termination)
    actor, cloned = make_actor(config, problem.action_dim), config.anchor == "behaviour"
    mode = make_act(actor)

    def world(model: EnsembleParams, logged: Transition) -> AnchoredWorld:
        return AnchoredWorld(model, _clone(actor, model, logged) if cloned else ())

    def step(params: AnchoredWorld, key: Array, obs: Array, action: Array) -> Step:
        return penalised(params.model, key, obs, action)

    def update(key: Array, state: Any, batch: Batch, world: Params) -> tuple[Any, Metrics]:
        if cloned:
            model = batch.model
            here, beyond = (mode(world.behaviour, None, obs) for obs in (model.obs, model.next_obs))
            anchors = behaviour_anchors(batch, here, beyond)
        else:
            anchors = own_anchors(batch)
        return td3.update(key, state, join(batch), anchors)

    real_rows, model_rows = rows_of(config.batch_size, config.real_ratio)
    return Algorithm(
        init=td3.init,
        update=update,
        policy=policy_in,
        act=td3.act,
        real_rows=real_rows,
        model_rows=model_rows,
        step=step,
        rollout_act=td3.act,
        world=world,
        rollout_metrics=penalty_metrics(config),
        real_next=True,
        model_next=not cloned,
        adopt=begin_at,
    )


def _clone(actor: Any, model: EnsembleParams, logged: Transition) -> PolicyParams:
    """The cloned behaviour, on observations in the model's units."""
    dim = logged.obs.shape[-1]
    normaliser = Normaliser(model.inputs.mean[:dim], model.inputs.std[:dim])
    return clone_behaviour(actor, jax.random.key(CLONE_KEY), normaliser, logged)


def _joined(logged: Array, model: Array) -> Array:
    return jnp.concatenate([logged, model])


ENTRY = Entry(MobracConfig, build, "ReBRAC on logged rows and rollouts of MOPO's penalised model")
