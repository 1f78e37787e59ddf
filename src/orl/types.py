"""The words every layer speaks: transitions, batches, model steps, and the axis letters.

Axis letters, used in every docstring: ``B`` batch, ``E`` ensemble members, ``H`` horizon (model steps),
``O`` observation dims, ``A`` action dims, ``K`` critics, ``N`` actions sampled per state, ``S`` seeds. Where a history
is stacked on top of the observation (`data.history`), ``O`` counts one observation and ``W`` the whole stack, and
transitions, model steps and policies have ``W`` where they say ``O``.

Units: observations and rewards are the environment's own; actions are in [-1, 1] everywhere except at the
border (``data.border`` and the policy object), where they are rescaled to the environment's bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array
Params = Any
Metrics = dict[str, Array]


class Transition(NamedTuple):
    """One step of experience, or a batch of them with leading axes.

    Attributes:
        obs: [..., O] observation.
        action: [..., A] action in [-1, 1].
        reward: [...] reward of this step.
        next_obs: [..., O] observation after the step, of the same episode even at its end.
        terminated: [...] 1.0 where the episode truly ended (no value beyond), else 0.0. Time-outs are 0.
    """

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    terminated: Array


class NextAction(NamedTuple):
    """What was done after each row: action [..., A], and `known` [...] 1.0 where there was such an action, else 0.0."""

    action: Array
    known: Array


class Batch(NamedTuple):
    """What one update learns from: logged rows and rows the model made. Either may have zero rows.

    Attributes:
        real, model: [R, ...] and [M, ...].
        real_next, model_next: `NextAction` of those rows, () for algorithms that do not ask for it.
    """

    real: Transition
    model: Transition
    real_next: Any = ()
    model_next: Any = ()


class Step(NamedTuple):
    """What a learned model says about one step.

    Attributes:
        next_obs: [B, O] sampled next observation.
        reward: [B] reward of the step.
        terminated: [B] bool, whether the step ended the episode.
        uncertainty: [B] how unsure the model is of this (obs, action); zero where nothing measured it.
    """

    next_obs: Array
    reward: Array
    terminated: Array
    uncertainty: Array


class StepFn(Protocol):
    """A model: (params, key, obs [B, O], action [B, A] in [-1, 1]) -> Step. The key is consumed."""

    def __call__(self, params: Params, key: Array, obs: Array, action: Array) -> Step: ...


class ActFn(Protocol):
    """A policy: (params, key or None, obs [B, O]) -> action [B, A] in [-1, 1]. Without a key, its mode."""

    def __call__(self, params: Params, key: Array | None, obs: Array) -> Array: ...

    def __hash__(self) -> int: ...  # as every function has: it is a static argument of compiled programs


@dataclass(frozen=True)
class Spec:
    """Sizes of the problem and the bounds of its actions in the environment's units.

    Attributes:
        obs_dim: numbers of one observation. history: earlier observations and actions that networks see with it.
    """

    obs_dim: int
    action_dim: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    history: int = 0

    @property
    def stacked_dim(self) -> int:
        """W, the numbers that networks see in place of an observation."""
        return stacked_size(self.obs_dim, self.action_dim, self.history)


def stacked_size(obs_dim: int, action_dim: int, history: int) -> int:
    """Numbers of an observation with `history` earlier ones and the actions between: (k + 1) O + k A."""
    return obs_dim + history * (obs_dim + action_dim)
