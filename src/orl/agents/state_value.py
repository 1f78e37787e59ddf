"""A value of observations: a small network with its units. `behaviour_value` and `implicit_value` fit one."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from orl.data.normalise import Normaliser, identity_normaliser
from orl.networks import MLP, forward
from orl.types import Array, Params

HIDDEN = (128, 128)
NETWORK = MLP(HIDDEN, 1)


class ValueParams(NamedTuple):
    """A fitted value function: network, units of observations, units of returns."""

    net: Params
    obs: Normaliser
    returns: Normaliser


def init_value(key: Array, obs_dim: int) -> ValueParams:
    """A value function that knows nothing. The key is consumed."""
    net = NETWORK.init(key, jnp.zeros((1, obs_dim)))
    return ValueParams(net, identity_normaliser(obs_dim), identity_normaliser(1))


def state_value(params: ValueParams, obs: Array) -> Array:
    """[...] discounted return from obs [..., O] on, in raw reward units."""
    return params.returns.invert(forward(NETWORK, params.net, params.obs.apply(obs)))[..., 0]
