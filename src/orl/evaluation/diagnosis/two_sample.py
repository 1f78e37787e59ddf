"""Can a classifier tell the model's transitions from those of the log?

A classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545): where both are drawn from one distribution no
classifier is right more often than a coin. COMBO's intuition (arXiv:2102.08363): values need no push-down where model
and data cannot be told apart.
"""

from __future__ import annotations

from math import lgamma, log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from orl.data.normalise import fit_normaliser
from orl.networks import MLP, forward
from orl.types import Array, Params

FOLDS = 5
MIN_ROWS = 50  # below this only the grossest differences would show
CLASSIFIER = MLP((64, 64), 1)
STEPS, BATCH, RATE, DECAY = 1000, 256, 2e-3, 1e-3


class TwoSample(NamedTuple):
    """Share of `rows` whose origin was told rightly (0.5: by guessing), and the chance that guessing does as well."""

    accuracy: float
    p_value: float
    rows: int


def two_sample_test(
    real: NDArray[np.float32], model: NDArray[np.float32], fold: NDArray[np.int64], key: Array
) -> TwoSample | None:
    """Tell rows of `real` from rows of `model`, both [N, D], row by row of the same state and action.

    Of each pair a coin keeps one, so that under the null the labels are coins, independent of all features and of one
    another. Every row is judged by a network trained without its fold [N]. The p-value is the binomial tail; the folds'
    networks share training rows, which the tail leaves out. None below MIN_ROWS rows. The key is consumed.
    """
    if len(real) < MIN_ROWS or fold.max() == 0:
        return None
    coin_key, fit_key = jax.random.split(key)
    is_real = np.asarray(jax.random.bernoulli(coin_key, shape=(len(real),)))
    features = np.where(is_real[:, None], real, model)
    if not np.isfinite(features).all():
        return TwoSample(1.0, 0.0, len(features))  # the log has finite values only
    x = fit_normaliser(features).apply(jnp.asarray(features, jnp.float32))
    others, counts = _rows_outside(fold)
    logit = _cross_validated(x, jnp.asarray(is_real, jnp.float32), others, counts, jnp.asarray(fold), fit_key)
    right = int(np.sum((np.asarray(logit) > 0) == is_real))
    return TwoSample(right / len(features), binomial_tail(right, len(features)), len(features))


def binomial_tail(successes: int, trials: int) -> float:
    """P(X >= successes) for X ~ Binomial(trials, 1/2)."""
    k = np.arange(successes, trials + 1)
    logs = np.array([lgamma(trials + 1) - lgamma(i + 1) - lgamma(trials - i + 1) for i in k.tolist()])
    return float(min(np.exp(logs - trials * log(2.0)).sum(), 1.0))


def _rows_outside(fold: NDArray[np.int64]) -> tuple[Array, Array]:
    """For each fold the rows outside it, [F, N] filled up with zeros, and how many they are [F]."""
    outside = [np.flatnonzero(fold != each) for each in range(int(fold.max()) + 1)]
    padded = np.zeros((len(outside), len(fold)), np.int32)
    for row, rows in zip(padded, outside, strict=True):
        row[: len(rows)] = rows
    return jnp.asarray(padded), jnp.asarray([len(rows) for rows in outside], jnp.int32)


@jax.jit
def _cross_validated(x: Array, y: Array, others: Array, counts: Array, fold: Array, key: Array) -> Array:
    """[N] logits of `y` by the network that did not see the row's fold."""

    def one(rows: Array, count: Array, key: Array) -> Array:
        return forward(CLASSIFIER, _fit(x, y, rows, count, key), x)[:, 0]

    logits = jax.vmap(one)(others, counts, jax.random.split(key, others.shape[0]))
    return jnp.take_along_axis(logits, fold[None], axis=0)[0]


def _fit(x: Array, y: Array, rows: Array, count: Array, key: Array) -> Params:
    """The classifier of labels y [N] from x [N, D], trained on the first `count` of `rows`."""
    init_key, draw_key = jax.random.split(key)
    optimiser = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    net = CLASSIFIER.init(init_key, x[:1])

    def loss(net: Params, batch: Array) -> Array:
        logit = forward(CLASSIFIER, net, x[batch])[:, 0]
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logit, y[batch]))

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        net, state = carry
        batch = rows[jax.random.randint(key, (BATCH,), 0, count)]
        updates, state = optimiser.update(jax.grad(loss)(net, batch), state, net)
        return (optax.apply_updates(net, updates), state), None

    (net, _), _ = jax.lax.scan(update, (net, optimiser.init(net)), jax.random.split(draw_key, STEPS))
    return net
