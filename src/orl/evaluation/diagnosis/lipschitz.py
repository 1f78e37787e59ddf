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
        params: of `state_value`, say from `fit_behaviour_value`. obs: [N, O] logged observations.
        scale: [O] the unit of each dimension, such as its training spread: distances are |s - s'| / scale.
    """
    rows, units = jnp.asarray(obs, jnp.float32), jnp.asarray(scale, jnp.float32)
    return float(np.quantile(np.asarray(_slopes(params, rows, units), np.float64), quantile))


@jax.jit
def _slopes(params: ValueParams, obs: Array, scale: Array) -> Array:
    """[N] |dV/ds * scale|, by the chain rule the gradient in s / scale."""
    gradient = jax.vmap(jax.grad(state_value, argnums=1), in_axes=(None, 0))
    return map_chunks(lambda rows: jnp.linalg.norm(gradient(params, rows) * scale, axis=-1), obs, cached_rows())
