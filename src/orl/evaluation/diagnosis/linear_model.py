"""The yardstick between no change and a network: a ridge regression of the next step on this one."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.audit.ridge import best_weights, fold_moments
from orl.data.history import newest_of, shift_history
from orl.data.normalise import Normaliser, fit_normaliser
from orl.types import Array, Step, Transition


class LinearModel(NamedTuple):
    """[next_obs - obs, reward] = outputs.invert(inputs.apply([obs, action]) @ weights); a pytree.

    With a history the inputs are all of it, and the change is the newest observation's.

    Attributes:
        inputs: normaliser of [obs, action]. outputs: of [next_obs - obs, reward]. weights: [W+A, O+1], without units.
    """

    inputs: Normaliser
    outputs: Normaliser
    weights: Array


def fit_linear(rows: Transition, fold: NDArray[np.int64], obs_dim: int) -> LinearModel:
    """Ridge regressions of the change and the reward on (obs, action), one an output.

    Each output takes the penalty with the least squared error on the folds [N] left out, of `data.audit.ridge.RIDGES`.
    Both sides are centred, so that no penalty falls on the mean. `obs_dim` is O, of one observation.
    """
    exact = Transition(*(np.asarray(x, np.float64) for x in rows))  # type: ignore[arg-type]
    x = np.concatenate([exact.obs, exact.action], axis=1)
    newest = newest_of(exact, obs_dim)
    change = newest.next_obs - newest.obs
    y = np.concatenate([change, exact.reward[:, None]], axis=1)
    inputs, outputs = fit_normaliser(x), fit_normaliser(y)
    features, targets = ((each - np.asarray(by.mean)) / np.asarray(by.std) for each, by in ((x, inputs), (y, outputs)))
    weights = best_weights(fold_moments(features, targets, fold))
    return LinearModel(inputs, outputs, jnp.asarray(weights, jnp.float32))


def linear_step(params: LinearModel, key: Array, obs: Array, action: Array) -> Step:
    """The model as a `StepFn` of obs [B, O] without chance, ends and uncertainty; the key has no effect."""
    x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
    output = params.outputs.invert(x @ params.weights)
    newest = obs[:, : output.shape[-1] - 1] + output[:, :-1]
    nothing = jnp.zeros(obs.shape[0])
    return Step(shift_history(obs, action, newest), output[:, -1], nothing > 0, nothing)
