"""Inputs and weights of the golden tests: NumPy's numbers, each drawn by its own name.

They depend on no initialiser, on no key and not on the order of a tree's leaves. A leaf is known by its path, such as
`params/Dense_0/kernel`: whoever changes the layout of parameters can build the new ones from these, by name.
"""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.normalise import Normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.types import Array, Params, Transition

OBS, ACTIONS, LOGGED, HELD_OUT, BATCH = 5, 2, 40, 10, 12
ENSEMBLE_CONFIG = EnsembleConfig(
    members=4,
    elites=3,
    hidden=(16, 16, 16),
    weight_decay=(1e-3, 2e-3, 3e-3, 4e-3),
    batch_size=BATCH,
    bound_weight=0.05,
    termination_hidden=(8,),
)
ENSEMBLE = Ensemble(ENSEMBLE_CONFIG, OBS, ACTIONS, learned_termination=True)


def numbers(name: str, *shape: int) -> NDArray[np.float32]:
    """Standard normal numbers that depend on `name` alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def normals(name: str, *shape: int, scale: float = 1.0) -> Array:
    """`numbers` on the device, scaled."""
    return jnp.asarray(scale * numbers(name, *shape))


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def weights(shapes: Params, name: str) -> Params:
    """Parameters of the given shapes in which every number matters: products keep their size, biases are not zero."""

    def leaf(path: tuple, like: Any) -> Array:
        kind, where = path[-1].key, f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}"
        drawn = numbers(where, *like.shape)
        if kind == "scale":  # of a LayerNorm
            return jnp.asarray(1.0 + 0.2 * drawn)
        if kind in ("kernel", "heads"):
            return jnp.asarray(1.2 * drawn / np.sqrt(like.shape[-2]).astype(np.float32))
        return jnp.asarray((0.3 if kind == "bias" else 0.7) * drawn)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def normaliser(name: str, size: int) -> Normaliser:
    """One that changes what it is given, differently in every dimension."""
    return Normaliser(normals(f"{name}/mean", size, scale=0.3), jnp.exp(normals(f"{name}/std", size, scale=0.4)))


def rows(name: str, count: int) -> Transition:
    """Transitions without any structure, about a quarter of them terminal."""
    return Transition(
        normals(f"{name}/obs", count, OBS),
        jnp.tanh(normals(f"{name}/action", count, ACTIONS)),
        normals(f"{name}/reward", count),
        normals(f"{name}/next_obs", count, OBS),
        (normals(f"{name}/terminated", count) > 0.7).astype(jnp.float32),
    )


def ensemble_params(ensemble: Ensemble = ENSEMBLE) -> EnsembleParams:
    """Members disagree, the elites are not the first ones, and the bounds of the log-variance bind."""
    inputs, targets = normaliser("inputs", OBS + ACTIONS), normaliser("targets", OBS + 1)
    shapes = jax.eval_shape(ensemble.init, jax.random.key(0), inputs, targets, targets)
    return EnsembleParams(
        net=weights(shapes.net, "net"),
        min_log_var=-2.0 + normals("min_log_var", OBS + 1, scale=0.2),
        max_log_var=0.5 + normals("max_log_var", OBS + 1, scale=0.2),
        termination=weights(shapes.termination, "termination"),
        inputs=inputs,
        targets=targets,
        outputs=normaliser("outputs", OBS + 1),
        elites=jnp.asarray([2, 0, 3], jnp.int32),
    )
