"""What a fitted ensemble got wrong on held-out rows, beside what it said of its own uncertainty."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.chunks import cached_rows, map_chunks
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import targets_of
from orl.dynamics.uncertainty import UNCERTAINTIES, WITH_REWARD
from orl.mdp.step import uncertainty_scale
from orl.types import Array, Transition

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Measured = tuple[Array, Array, dict[str, Array], Array]


class Judged(NamedTuple):
    """Errors of the elites' mean and every uncertainty, in the units asked for.

    Attributes:
        next_obs: [N] ||next_obs - predicted||. reward: [N] |reward - predicted|.
        uncertainty: [N] by key of UNCERTAINTIES.
        predicted: [N, O+1] the elites' mean of (next_obs, reward), in raw units whatever the others are in; of a
            stacked observation the newest part.
    """

    next_obs: Doubles
    reward: Doubles
    uncertainty: dict[str, Doubles]
    predicted: Floats

    @property
    def joint(self) -> Doubles:
        """[N] ||(next_obs, reward) - predicted||, a distance of ours: the theorem of MOPO speaks of next_obs alone."""
        return np.hypot(self.next_obs, self.reward)

    def error_of(self, uncertainty: str) -> Doubles:
        """[N] the error that this uncertainty is about: with the reward where it contains the reward's spread."""
        return self.joint if uncertainty in WITH_REWARD else self.next_obs


def judge(ensemble: Ensemble, params: EnsembleParams, rows: Transition, units: str) -> Judged:
    """Errors and uncertainties of rows [N], from one prediction of each.

    Errors are against what was logged, so a noisy system's noise is in them.

    Args:
        units: "raw", or "standardised" by the training spread, as of the uncertainties of `make_step`.
    """
    next_obs, reward, unsure, predicted = _judge(ensemble, units, params, rows)
    exact = {name: np.asarray(u, np.float64) for name, u in unsure.items()}
    return Judged(np.asarray(next_obs, np.float64), np.asarray(reward, np.float64), exact, np.asarray(predicted))


def model_error(
    ensemble: Ensemble, params: EnsembleParams, rows: Transition, units: str, *, with_reward: bool = False
) -> Doubles:
    """[N] ||next_obs - elites' mean||, or with the reward as one more dimension, in "raw" or "standardised" units.

    Reference: the error that an admissible estimator of MOPO, arXiv:2005.13239, has to cover, for a Lipschitz V.
    """
    judged = judge(ensemble, params, rows, units)
    return judged.joint if with_reward else judged.next_obs


@partial(jax.jit, static_argnums=(0, 1))
def _judge(ensemble: Ensemble, units: str, params: EnsembleParams, rows: Transition) -> Measured:
    scale = uncertainty_scale(params, units)
    size = ensemble.out_dim - 1

    def one_chunk(rows: Transition) -> Measured:
        prediction = ensemble.predict(params, rows.obs, rows.action)
        mean = jnp.mean(prediction.mean[params.elites], axis=0)
        newest = rows._replace(obs=rows.obs[:, :size], next_obs=rows.next_obs[:, :size])  # of a stack
        error = mean - targets_of(newest)
        unsure = {name: measure(prediction, scale) for name, measure in UNCERTAINTIES.items()}
        length = jnp.linalg.norm(error[:, :-1] / scale[:-1], axis=-1)
        return length, jnp.abs(error[:, -1] / scale[-1]), unsure, mean.at[:, :-1].add(newest.obs)

    return map_chunks(one_chunk, rows, cached_rows())
