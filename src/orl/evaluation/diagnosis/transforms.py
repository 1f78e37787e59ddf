"""Where an observed number falls in the distribution that a model predicted for it.

The probability integral transform F(y) of a number y that was drawn from F is uniform, and the normal score of it a
standard normal: so spreads of every shape can be held to one yardstick. Reference: Rosenblatt 1952; Dawid 1984.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from numpy.typing import NDArray

from orl.chunks import cached_rows, map_chunks
from orl.data.history import newest_of
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import targets_of
from orl.sequence.model import SequenceModel, SequenceParams
from orl.types import Array, Transition

TOKENS = 8192  # that a density model reads at a time


def ensemble_scores(ensemble: Ensemble, params: EnsembleParams, rows: Transition) -> NDArray[np.float32]:
    """[N, O+1] normal scores of the observed changes and rewards in the elites' equal mixture, each by itself."""
    return np.asarray(_ensemble_scores(ensemble, params, rows))


@partial(jax.jit, static_argnums=0)
def _ensemble_scores(ensemble: Ensemble, params: EnsembleParams, rows: Transition) -> Array:
    def some(rows: Transition) -> Array:
        prediction = ensemble.predict(params, rows.obs, rows.action)
        target = targets_of(newest_of(rows, ensemble.obs_dim))
        z = (target - prediction.mean[params.elites]) / prediction.std[params.elites]
        return mixture_score(z)

    return map_chunks(some, rows, cached_rows())


def mixture_score(z: Array) -> Array:
    """[...] normal score of a number whose residual in component k of an equal Gaussian mixture is z [K, ...]."""
    return normal_score(jnp.mean(ndtr(z), axis=0), jnp.mean(ndtr(-z), axis=0))


def sequence_scores(model: SequenceModel, params: SequenceParams, tokens: Array, key: Array) -> NDArray[np.float32]:
    """[N, O+1] normal scores of the last transition's observation and reward in windows of tokens [N, W, D].

    Each number is judged by its own conditional distribution: given the transitions before and the numbers before it
    in its own transition, as logged. Past value tokens are the highest bin, as for planners. Within a bin every place
    is equally likely, so the score is drawn there (the randomised transform). The key is consumed.
    """
    return np.asarray(_sequence_scores(model, params, tokens, key))


@partial(jax.jit, static_argnums=0)
def _sequence_scores(model: SequenceModel, params: SequenceParams, tokens: Array, key: Array) -> Array:
    layout = model.layout
    dims = np.append(np.arange(layout.obs_dim), layout.reward)
    tokens = tokens.astype(jnp.int32).at[..., layout.value].set(params.discretiser.counts[layout.value] - 1)
    uniform = jax.random.uniform(key, (len(tokens), len(dims)))

    def some(rows: tuple[Array, Array]) -> Array:
        tokens, uniform = rows
        flat = tokens.reshape(len(tokens), -1)
        logits = model.logits(params, flat)[:, (tokens.shape[1] - 1) * layout.dims - 1 + dims]
        return binned_score(jax.nn.softmax(logits), tokens[:, -1, dims], uniform)

    return map_chunks(some, (tokens, uniform), max(TOKENS // (tokens.shape[1] * layout.dims), 1))


def binned_score(probs: Array, token: Array, uniform: Array) -> Array:
    """[...] normal score of a number that fell into bin `token` [...] of probs [..., V], `uniform` of the way in."""
    here = jnp.arange(probs.shape[-1])
    below = jnp.sum(jnp.where(here < token[..., None], probs, 0.0), axis=-1)
    above = jnp.sum(jnp.where(here > token[..., None], probs, 0.0), axis=-1)
    inside = jnp.take_along_axis(probs, token[..., None], axis=-1)[..., 0]
    return normal_score(below + uniform * inside, above + (1.0 - uniform) * inside)


def normal_score(below: Array, above: Array) -> Array:
    """[...] the normal score of numbers with so much probability on either side; the smaller one has more digits."""
    return jnp.where(below <= above, ndtri(below), -ndtri(above))
