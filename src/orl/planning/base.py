"""What a planner is: from what happened so far to an action, and the trajectory that it is the first step of.

Axis letters as in `orl.types`, and here: ``B`` episodes planned for in one call, ``C`` past transitions remembered,
``H`` planned steps. A planner is a pure function; whoever acts by it (`planning.receding`) keeps the history.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from orl.errors import UsageError
from orl.types import Array, Params


class History(NamedTuple):
    """The current observation of B episodes and up to C transitions before it, the latest last.

    Attributes:
        obs: [B, C, O], action: [B, C, A] in [-1, 1], reward: [B, C] of the past; rows before `length` are padding.
        now: [B, O] current observation.
        length: [B] int32, how many of the C past transitions there are; they are the last ones.
        guess: [B, H, A] actions in [-1, 1] that the last plan had left, moved up by one step and ended with zeros;
            all zeros at an episode's first step. Planners that need no starting point ignore it.
    """

    obs: Array
    action: Array
    reward: Array
    now: Array
    length: Array
    guess: Array


class Trajectory(NamedTuple):
    """H steps that a planner expects: obs [B, H, O] *before* each action, action [B, H, A], reward [B, H].

    value: [B, H] discounted rewards expected after each step, NaN where a planner has no opinion.
    """

    obs: Array
    action: Array
    reward: Array
    value: Array


class Plan(NamedTuple):
    """action: [B, A] to play now, in [-1, 1]. trajectory: what it begins. value: [B] the planner's own score of it."""

    action: Array
    trajectory: Trajectory
    value: Array


class PlanFn(Protocol):
    """A planner: (params of its model, keys [B], history) -> Plan. The keys are consumed.

    An episode's plan depends on its own key and history alone, not on which others are planned for with it.
    """

    def __call__(self, params: Params, keys: Array, history: History) -> Plan: ...


def check_plan_freq(plan_freq: int, horizon: int) -> None:
    """UsageError where more steps are to be acted than are planned."""
    if plan_freq > horizon:
        raise UsageError(f"plan.plan_freq is {plan_freq}, more than the {horizon} steps of a plan")
