"""How unsure an ensemble is of a (state, action): one function per measure, named by its formula.

Every function takes a `Prediction` of raw-unit means and stds [E, B, O+1] (reward last) and `scale` [O+1], the unit in
which differences are measured (ones for the papers' raw units), and returns [B].
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from orl.dynamics.ensemble import Prediction
from orl.types import Array

Uncertainty = Callable[[Prediction, Array], Array]


def max_std(prediction: Prediction, scale: Array) -> Array:
    """max_i ||sigma_i||_2 over ALL members, reward dimension included: MOPO's u (arXiv:2005.13239)."""
    return jnp.max(jnp.linalg.norm(prediction.std / scale, axis=-1), axis=0)


def max_deviation(prediction: Prediction, scale: Array) -> Array:
    """max_i ||mu_i - mean_j mu_j||_2 of the next observation. OfflineRL-Kit calls this "pairwise-diff"; it is not."""
    mean = _obs_mean(prediction, scale)
    return jnp.max(jnp.linalg.norm(mean - jnp.mean(mean, axis=0), axis=-1), axis=0)


def max_pairwise(prediction: Prediction, scale: Array) -> Array:
    """max_{i,j} ||mu_i - mu_j||_2 of the next observation: MOReL's discrepancy (arXiv:2005.05951).

    Members are compared at the SAME row only; identical members give exactly 0.
    """
    mean = _obs_mean(prediction, scale)
    members = mean.shape[0]
    largest = jnp.zeros(mean.shape[1])
    for i in range(members):  # unrolled: E is small, and [E, E, B, O] would not stay in cache
        distance = jnp.sum((mean[i] - mean[i + 1 :]) ** 2, axis=-1)
        largest = jnp.maximum(largest, jnp.max(distance, axis=0, initial=0.0))
    return jnp.sqrt(largest)


def ensemble_std(prediction: Prediction, scale: Array) -> Array:
    """sqrt(mean over dimensions of Var_i[mu_i]) of the next observation.

    Reference: `ensemble_std` of OfflineRL-Kit.
    """
    return jnp.sqrt(jnp.mean(jnp.var(_obs_mean(prediction, scale), axis=0), axis=-1))


def mixture_std(prediction: Prediction, scale: Array) -> Array:
    """sqrt(sum over dimensions of (mean_i sigma_i^2 + Var_i[mu_i])), reward included: the mixture's own spread.

    Reference: the law of total variance; as a penalty it is ours.
    """
    variance = jnp.mean((prediction.std / scale) ** 2, axis=0) + jnp.var(prediction.mean / scale, axis=0)
    return jnp.sqrt(jnp.sum(variance, axis=-1))


def _obs_mean(prediction: Prediction, scale: Array) -> Array:
    return (prediction.mean / scale)[..., :-1]


UNCERTAINTIES: dict[str, Uncertainty] = {
    "max_std": max_std,
    "max_deviation": max_deviation,
    "max_pairwise": max_pairwise,
    "ensemble_std": ensemble_std,
    "mixture_std": mixture_std,
}

WITH_REWARD = frozenset({"max_std", "mixture_std"})  # those that hold the reward's spread too
