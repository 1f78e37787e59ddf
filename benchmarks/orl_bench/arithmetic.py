"""Floating point operations that work *needs*: two for each multiply-add of its matrix products, nothing else.

A network is the list of its widths, input first. Backwards, a product needs the gradient of its weights where they are
learned, and of its inputs unless these are data. What a program computes beyond that (dead columns, the same product
twice, masked attention) is not counted, so a share of the machine's rate can only rise by faster work. Tests hold each
count against the products of the program itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Widths = Sequence[int]


def product(rows: float, inner: int, columns: int) -> float:
    """[rows, inner] @ [inner, columns]."""
    return 2.0 * rows * inner * columns


def forward(rows: float, widths: Widths) -> float:
    """A network's outputs."""
    return sum(product(rows, inner, columns) for inner, columns in pairwise(widths))


def weight_gradients(rows: float, widths: Widths) -> float:
    """The gradients of all kernels, given those of the layers' outputs."""
    return forward(rows, widths)


def input_gradients(rows: float, widths: Widths, wanted: int = 0) -> float:
    """The gradients of the layers' inputs; of the network's own inputs only the `wanted` columns."""
    return product(rows, wanted, widths[1]) + forward(rows, widths[1:])


def fit(rows: float, widths: Widths) -> float:
    """A loss and its gradient in the weights, where the inputs are data."""
    return forward(rows, widths) + weight_gradients(rows, widths) + input_gradients(rows, widths)


def guidance(rows: float, widths: Widths, wanted: int) -> float:
    """A value and its gradient in `wanted` of its inputs, where the weights stay as they are."""
    return forward(rows, widths) + input_gradients(rows, widths, wanted)


def actor_widths(obs: int, hidden: Widths, action: int) -> list[int]:
    """The Gaussian policy: mean and log standard deviation of every action dimension."""
    return [obs, *hidden, 2 * action]


def critic_widths(obs: int, hidden: Widths, action: int) -> list[int]:
    """One state-action value."""
    return [obs + action, *hidden, 1]


def cloning_update(batch: int, obs: int, hidden: Widths, action: int) -> float:
    """Behaviour cloning: only the policy's mean is asked for."""
    return fit(batch, [obs, *hidden, action])


def sac_update(batch: int, obs: int, hidden: Widths, action: int, critics: int) -> float:
    """Soft actor-critic: the target, the critics' fit, and the policy's fit through the critics.

    Through the critics the policy's loss needs gradients of the actions alone. The minimum passes them to one critic a
    row, another one each row; all are counted, for dense products cannot leave the others out.
    """
    actor, critic = actor_widths(obs, hidden, action), critic_widths(obs, hidden, action)
    target = forward(batch, actor) + critics * forward(batch, critic)
    policy = fit(batch, actor) + critics * guidance(batch, critic, action)
    return target + critics * fit(batch, critic) + policy


def td3_update(batch: int, obs: int, hidden: Widths, action: int, critics: int, actor_every: int) -> float:
    """TD3: the target, the critics' fit, and on every `actor_every`-th update the policy's fit through the critics."""
    actor, critic = [obs, *hidden, action], critic_widths(obs, hidden, action)
    target = forward(batch, actor) + critics * forward(batch, critic)
    policy = fit(batch, actor) + critics * guidance(batch, critic, action)
    return target + critics * fit(batch, critic) + policy / actor_every


def bellman_inconsistency(
    rows: int, elites: int, samples: int, model: Widths, obs: int, hidden: Widths, action: int, critics: int
) -> float:
    """What MOBILE adds: every elite's prediction of each row, and the values of its sampled next observations."""
    actor, critic = actor_widths(obs, hidden, action), critic_widths(obs, hidden, action)
    drawn = rows * elites * samples
    return elites * forward(rows, model) + forward(drawn, actor) + critics * forward(drawn, critic)


def conservative_term(states: int, obs: int, hidden: Widths, action: int, critics: int, per_state: int) -> float:
    """What CQL and COMBO add: the critics' fit at `per_state` sampled actions of every state.

    No gradient goes to the actions. The state's part of the first layer is the same for all actions of a state. The
    policy's means at s and s', from which actions are drawn, are those of its own loss and of the target; values of
    logged rows are those of the temporal difference. None of these is counted again.
    """
    rows, tail = states * per_state, [*hidden, 1]
    first = product(states, obs, hidden[0]) + product(rows, action, hidden[0])
    rest = forward(rows, tail) + weight_gradients(rows, tail) + input_gradients(rows, tail, hidden[0])
    return critics * (2 * first + rest)  # first: forward, and the gradient of its weights


def repeated_proposals(states: int, obs: int, hidden: Widths, action: int, per_source: int) -> float:
    """What it costs to run the policy anew for every action drawn at s and at s', which nothing needs."""
    return 2 * per_source * forward(states, actor_widths(obs, hidden, action))


def model_widths(obs: int, hidden: Widths, action: int) -> list[int]:
    """One member of the ensemble: mean and log-variance of the change of the observation and of the reward."""
    return [obs + action, *hidden, 2 * (obs + 1)]


def ensemble_epoch(members: int, widths: Widths, batch: int, steps: int, holdout: int) -> float:
    """One pass of the ensemble's fit, every member on rows of its own, and its errors on held-out rows."""
    return members * (steps * fit(batch, widths) + forward(holdout, widths))


def rollout(rows: int, horizon: int, members: int, model: Widths, actor: Widths) -> float:
    """Model steps of a policy, where `members` of the ensemble predict each row."""
    return horizon * (members * forward(rows, model) + forward(rows, actor))
