"""Ensembles whose members predict what is chosen by hand: constants, or multiples of a scalar state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from orl.data.normalise import Normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams


def constant_ensemble(
    mean: np.ndarray, std: np.ndarray, elites: tuple[int, ...], outputs_std: tuple[float, ...] | None = None
) -> tuple[Ensemble, EnsembleParams]:
    """Members that add `mean` [E, O+1] with spread `std` [E, O+1] to whatever they see; one action dimension."""
    members, out_dim = np.shape(mean)
    config = EnsembleConfig(
        members=members, elites=len(elites), hidden=(), weight_decay=(0.0,), termination_hidden=(4,)
    )
    ensemble = Ensemble(config, out_dim - 1, 1, learned_termination=True)
    outputs = identity_normaliser(out_dim)
    if outputs_std:
        outputs = Normaliser(outputs.mean, jnp.asarray(outputs_std))
    one = identity_normaliser(out_dim)
    params = jax.eval_shape(lambda: ensemble.init(jax.random.key(0), one, one, outputs))  # for the shapes
    rng = np.random.default_rng(0)
    bias = np.concatenate([mean, 2 * np.log(np.maximum(std, 1e-9))], axis=-1)
    kernel = np.zeros(params.net["params"]["Dense_0"]["kernel"].shape, np.float32)
    wide = jnp.full(out_dim, 80.0)  # bounds so far out that the soft clamp is the identity
    return ensemble, EnsembleParams(
        net={"params": {"Dense_0": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias, jnp.float32)}}},
        min_log_var=-wide,
        max_log_var=wide,
        termination=jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params.termination),
        inputs=one,
        targets=one,
        outputs=outputs,
        elites=jnp.asarray(elites, jnp.int32),
    )


def linear_ensemble(
    slopes: tuple[float, ...], reward_slope: float, elites: tuple[int, ...]
) -> tuple[Ensemble, EnsembleParams]:
    """Members with s' = slope s and reward = reward_slope s of a scalar s, next to no spread."""
    members = len(slopes)
    ensemble, params = constant_ensemble(np.zeros((members, 2)), np.full((members, 2), 1e-9), elites)
    layer = params.net["params"]["Dense_0"]
    kernel = np.zeros(layer["kernel"].shape, np.float32)  # inputs (s, action), outputs (change, reward, log-variances)
    kernel[:, 0, 0], kernel[:, 0, 1] = np.asarray(slopes) - 1.0, reward_slope
    net = {"params": {"Dense_0": layer | {"kernel": jnp.asarray(kernel)}}}
    return ensemble, params._replace(net=net, inputs=identity_normaliser(2))
