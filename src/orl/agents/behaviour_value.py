"""What the behaviour that wrote a log earns from each observation on, fitted by regression on its own returns.

Episodes that were cut off say nothing of what would have come after, so their returns are completed by the fit itself,
round after round: with a discount g and L steps to the cut an error beyond it reaches a row times g^L.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from orl.agents.state_value import NETWORK, ValueParams, state_value
from orl.data.normalise import fit_normaliser
from orl.data.returns import discounted_sums
from orl.networks import forward
from orl.types import Array, Params

ROUNDS, STEPS, BATCH, RATE = 8, 1000, 256, 1e-3


def fit_behaviour_value(
    obs: NDArray,
    final_obs: NDArray,
    reward: NDArray,
    last: NDArray[np.int64],
    cut: NDArray[np.bool_],
    *,
    discount: float,
    key: Array,
) -> ValueParams:
    """Fit V to the returns of rows [N].

    Args:
        obs: [N, O]. final_obs: [N, O] the observation after the last step of the row's episode. last: [N] row of that
            step. cut: [N] whether the episode was cut off there rather than ended. The key is consumed.
    """
    normaliser = fit_normaliser(obs)
    x = normaliser.apply(jnp.asarray(obs))
    net = NETWORK.init(key, x[:1])
    seen = discounted_sums(reward, last, discount)
    weight = np.where(cut, discount ** (last - np.arange(len(last)) + 1), 0.0)
    low, high = reward.min() / (1.0 - discount), reward.max() / (1.0 - discount)  # no behaviour is worth less or more
    beyond = np.zeros(len(reward))
    params: ValueParams | None = None
    for index in range(ROUNDS):
        if params is not None:
            beyond = np.clip(state_value(params, jnp.asarray(final_obs)), low, high)
        targets = seen + weight * beyond
        units = fit_normaliser(targets[:, None])
        net = _regress(net, x, units.apply(jnp.asarray(targets[:, None], jnp.float32)), jax.random.fold_in(key, index))
        params = ValueParams(net, normaliser, units)
        if not cut.any():
            break
    assert params is not None
    return params


@partial(jax.jit, donate_argnums=0)
def _regress(net: Params, x: Array, y: Array, key: Array) -> Params:
    optimiser = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

    def loss(net: Params, rows: Array) -> Array:
        return jnp.mean((forward(NETWORK, net, x[rows]) - y[rows]) ** 2)

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        net, state = carry
        grads = jax.grad(loss)(net, jax.random.randint(key, (BATCH,), 0, x.shape[0]))
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(net, updates), state), None

    (net, _), _ = jax.lax.scan(update, (net, optimiser.init(net)), jax.random.split(key, STEPS))
    return net
