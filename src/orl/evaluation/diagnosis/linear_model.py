"""The yardstick between no change and a network: a ridge regression of the next step on this one."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.audit.ridge import best_weights, fold_moments
from orl.data.normalise import Normaliser, fit_normaliser
from orl.types import Array, Step, Transition


class LinearModel(NamedTuple):
    """[next_obs - obs, reward] = outputs.invert(inputs.apply([obs, action]) @ weights); a pytree.

    Attributes:
        inputs: normaliser of [obs, action]. outputs: of [next_obs - obs, reward]. weights: [O+A, O+1], without units.
    """

    inputs: Normaliser
    outputs: Normaliser
    weights: Array


def fit_linear(rows: Transition, fold: NDArray[np.int64]) -> LinearModel:
    """Ridge regressions of the change and the reward on (obs, action), one an output.

    Each output takes the penalty with the least squared error on the folds [N] left out, of `data.audit.ridge.RIDGES`.
    Both sides are centred, so that no penalty falls on the mean.
    """
    obs = np.asarray(rows.obs, np.float64)
    x = np.concatenate([obs, np.asarray(rows.action, np.float64)], axis=1)
    change = np.asarray(rows.next_obs, np.float64) - obs
    y = np.concatenate([change, np.asarray(rows.reward, np.float64)[:, None]], axis=1)
    inputs, outputs = fit_normaliser(x), fit_normaliser(y)
    standard_x, standard_y = (
        (each - np.asarray(by.mean)) / np.asarray(by.std) for each, by in ((x, inputs), (y, outputs))
    )
    weights = best_weights(fold_moments(standard_x, standard_y, fold))
    return LinearModel(inputs, outputs, jnp.asarray(weights, jnp.float32))


def linear_step(params: LinearModel, key: Array, obs: Array, action: Array) -> Step:
    """The model as a `StepFn` without chance, ends and uncertainty; the key has no effect."""
    x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
    output = params.outputs.invert(x @ params.weights)
    nothing = jnp.zeros(obs.shape[0])
    return Step(obs + output[:, :-1], output[:, -1], nothing > 0, nothing)
