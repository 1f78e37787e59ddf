"""What an algorithm is: pure functions and a few numbers. A new one is one file and one line in ALGORITHMS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from orl.agents.actor import PolicyParams, make_act, make_actor
from orl.agents.config import DynaConfig, PolicyConfig
from orl.agents.sac import Sac
from orl.data.normalise import Normaliser
from orl.dynamics.ensemble import Ensemble
from orl.mdp.rollout import Rollout
from orl.types import ActFn, Array, Batch, Metrics, Params, StepFn, Transition


@dataclass(frozen=True)
class Problem:
    """What an algorithm is built for.

    Attributes:
        obs_dim, action_dim: sizes of what networks see; with a history the former is a whole stack's.
        total_updates: length of the whole run, for schedules.
        ensemble: shape of the fitted model, None for model-free algorithms. termination: the rule it was fitted with.
    """

    obs_dim: int
    action_dim: int
    total_updates: int
    ensemble: Ensemble | None = None
    termination: str = "never"


def _the_model_itself(model: Params, logged: Transition) -> Params:
    return model


def replace_policy(state: Any, policy: PolicyParams) -> Any:
    """The state with this policy in it, for states that hold it once."""
    return state._replace(policy=policy)


def _no_caution(config: Any, logged: Transition) -> str:
    return ""


def _no_rollout_metrics(world: Params, rollout: Rollout) -> Metrics:
    return {}


class Algorithm(NamedTuple):
    """An algorithm built for a problem.

    Attributes:
        init: (key, normaliser of observations) -> State. The key is consumed.
        update: (key, State, Batch, world) -> (State, metrics). One gradient step; the world is () without a model.
        policy: State -> the parameters `act` takes.
        act: the learned policy.
        real_rows, model_rows: rows of each kind in a batch.
        step: the pessimistic (or bare) model to roll out in, None for model-free algorithms.
        rollout_act: the policy that rolls out in it.
        real_next, model_next: whether batches carry the action that followed each logged row, each model row.
        adopt: (State, PolicyParams) -> State that begins at this policy.
        world: (model params, all logged training rows) -> what `step` and `update` take; runs once, before training.
        rollout_metrics: (world, rollout) -> what is worth logging of it.
    """

    init: Callable[[Array, Normaliser], Any]
    update: Callable[[Array, Any, Batch, Params], tuple[Any, Metrics]]
    policy: Callable[[Any], Params]
    act: ActFn
    real_rows: int
    model_rows: int = 0
    step: StepFn | None = None
    rollout_act: ActFn | None = None
    real_next: bool = False
    model_next: bool = False
    adopt: Callable[[Any, PolicyParams], Any] = replace_policy
    world: Callable[[Params, Transition], Params] = _the_model_itself
    rollout_metrics: Callable[[Params, Rollout], Metrics] = _no_rollout_metrics


@dataclass(frozen=True)
class Entry:
    """A line of ALGORITHMS: the settings' class, the builder, one sentence, and what it needs.

    `caution(settings, logged rows)` is a line to tell the user before training, or "".
    """

    config: type[PolicyConfig]
    build: Callable[[Any, Problem], Algorithm]
    summary: str
    needs_model: bool = True
    caution: Callable[[Any, Transition], str] = _no_caution


def policy_in(state: Any) -> Params:
    """The policy's parameters inside a state that calls them so."""
    return state.policy


def dyna(config: DynaConfig, problem: Problem, sac: Sac, step: StepFn, **extra: Any) -> Algorithm:
    """Soft actor-critic on logged rows and rollouts of `step` by the current policy: MBPO's shape and its heirs'."""
    act = make_act(make_actor(config, problem.action_dim))
    real_rows, model_rows = rows_of(config.batch_size, config.real_ratio)
    parts: dict[str, Any] = {"rollout_act": act, "adopt": sac.begin_at} | extra
    return Algorithm(
        init=sac.init,
        update=sac.update,
        policy=policy_in,
        act=act,
        real_rows=real_rows,
        model_rows=model_rows,
        step=step,
        **parts,
    )


def rows_of(batch_size: int, real_ratio: float) -> tuple[int, int]:
    """(logged, model) rows of a batch; the logged share is rounded down, as in the papers' code."""
    real = int(batch_size * real_ratio)
    return real, batch_size - real


def ensemble_of(problem: Problem) -> Ensemble:
    """The problem's ensemble, for algorithms that cannot do without one.

    Raises:
        ValueError: the problem has none.
    """
    if problem.ensemble is None:
        raise ValueError("this algorithm needs a dynamics model")
    return problem.ensemble
