"""How steep a value function is where the data is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from orl.agents.state_value import ValueParams, state_value
from orl.chunks import cached_rows, map_chunks
from orl.types import Array


def value_lipschitz(params: ValueParams, obs: ArrayLike, scale: ArrayLike, quantile: float) -> float:
    """The `quantile` over observations of the length of V's gradient: return per `scale` of the observation.

    With 1.0 it is the largest slope seen. A network's value can be steeper between the observations than at them, and
    its few steepest places may be the network's alone: hence a quantile, and it is an estimate, not a bound.

    Args:
        params: of `state_value`, say from `fit_behaviour_value`. obs: [N, W] logged observations.
        scale: [P] the unit of each of the first P dimensions, such as its training spread: distances are
            |s - s'| / scale. Dimensions beyond are held fixed: they are the past in a stacked observation, which a
            model step knows and so never errs in.
    """
    rows, units = jnp.asarray(obs, jnp.float32), jnp.asarray(scale, jnp.float32)
    return float(np.quantile(np.asarray(_slopes(params, rows, units), np.float64), quantile))


def slope_along(params: ValueParams, obs: ArrayLike, other: ArrayLike, distance: ArrayLike) -> float:
    """mean |V(s) - V(s')| / mean distance: how steep V is in the directions in which `other` departs from `obs`.

    The least L for which |V(s) - V(s')| <= L distance holds on average over the pairs. A gradient's length is a bound
    for every direction, and where data fills few of many dimensions it is mostly made of directions that never occur:
    on a Hopper log its median was nine times the slope along a model's errors. 0 where nothing is apart.

    Args:
        obs, other: [N, W] pairs of observations. distance: [N] between them, in any units.
    """
    rows = jnp.asarray(obs, jnp.float32), jnp.asarray(other, jnp.float32)
    change = np.abs(np.subtract(*(np.asarray(state_value(params, each), np.float64) for each in rows)))
    apart = float(np.sum(np.asarray(distance, np.float64)))
    return float(np.sum(change)) / apart if apart > 0.0 else 0.0


@jax.jit
def _slopes(params: ValueParams, obs: Array, scale: Array) -> Array:
    """[N] |dV/ds * scale|, by the chain rule the gradient in s / scale."""
    gradient = jax.vmap(jax.grad(state_value, argnums=1), in_axes=(None, 0))

    def lengths(rows: Array) -> Array:
        return jnp.linalg.norm(gradient(params, rows)[:, : scale.shape[0]] * scale, axis=-1)

    return map_chunks(lengths, obs, cached_rows())
