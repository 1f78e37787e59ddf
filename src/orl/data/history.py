"""The last k observations and actions on top of the current one, for systems that act late or hide their speed.

A stack is [o_t, o_{t-1}, ..., o_{t-k}, a_{t-1}, ..., a_{t-k}], W = (k + 1) O + k A numbers. The newest observation is
first, so that what looks at `stacked[..., :O]` - termination rules, the change that a model predicts - means the same
with and without a history. Actions in it are in [-1, 1]. Before an episode's beginning its first observation is
repeated and actions are 0; nothing reaches across episodes. With k = 0 a stack is the observation.

The functions of arrays take NumPy and JAX arrays alike.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.border import agent_action
from orl.data.episodes import Dataset, Floats
from orl.types import Transition


def with_history(dataset: Dataset, history: int) -> Dataset:
    """The dataset whose rows come with so many earlier observations and actions; the same one where they do already."""
    return dataset if dataset.history == history else dataclasses.replace(dataset, history=history)


def stacked_rows(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(obs, next_obs), each [N, W], of these rows [N] with the dataset's history."""
    if not dataset.history:
        return dataset.obs[rows], dataset.next_obs[rows]
    size, width, first = dataset.obs.shape[1], dataset.action.shape[1], dataset.starts[dataset.episode_of_row[rows]]
    stacked = np.empty((len(rows), dataset.spec.stacked_dim), np.float32)
    stacked[:, :size] = dataset.obs[rows]
    for lag in range(1, dataset.history + 1):  # one after the other, lest all of them be there twice
        earlier = np.maximum(rows - lag, first)
        action = agent_action(dataset.action[earlier], dataset.action_low, dataset.action_high)
        place = (dataset.history + 1) * size + (lag - 1) * width
        stacked[:, lag * size : (lag + 1) * size] = dataset.obs[earlier]
        stacked[:, place : place + width] = np.where((rows - lag >= first)[:, None], action, 0.0)
    now = agent_action(dataset.action[rows], dataset.action_low, dataset.action_high)
    return stacked, shift_history(stacked, now, dataset.next_obs[rows])


def first_stack(obs: Any, history: int, action_dim: int) -> Any:
    """[..., W] of an episode's first observation [..., O]: repeated, with actions of 0."""
    xp = obs.__array_namespace__()
    nothing = xp.zeros((*obs.shape[:-1], history * action_dim), obs.dtype)
    return xp.concat([obs] * (history + 1) + [nothing], axis=-1) if history else obs


def shift_history(stacked: Any, action: Any, newest: Any) -> Any:
    """The stack [..., W] of the next step: `newest` [..., O] in front, the oldest observation and action gone.

    Args:
        stacked: [..., W] of the step before; its history follows from the sizes. action: [..., A] in [-1, 1] of it.

    Raises:
        ValueError: the sizes are those of no stack.
    """
    obs_dim, action_dim = newest.shape[-1], action.shape[-1]
    history, rest = divmod(stacked.shape[-1] - obs_dim, obs_dim + action_dim)
    if rest or history < 0:
        raise ValueError(f"a stack of {stacked.shape[-1]} numbers is none of {obs_dim} and actions of {action_dim}")
    if not history:
        return newest
    actions = stacked[..., (history + 1) * obs_dim :]
    kept = [stacked[..., : history * obs_dim], action, actions[..., : (history - 1) * action_dim]]
    return newest.__array_namespace__().concat([newest, *kept], axis=-1)


def newest_of(rows: Transition, obs_dim: int) -> Transition:
    """The transitions without their history: obs and next_obs [..., O]."""
    return rows._replace(obs=rows.obs[..., :obs_dim], next_obs=rows.next_obs[..., :obs_dim])
