"""Seeds: which ones, their keys, and how the epoch of several becomes one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from orl.algorithms.epoch import Epoch, TrainData, TrainState
from orl.errors import UsageError

# Models and policies draw from roots of their own, so that model seed 0 and policy seed 0 share no random number.
MODEL_STREAM, POLICY_STREAM = 1, 2


def parse_seeds(seed: int | None, seeds: str | None) -> tuple[int, ...]:
    """(3,) from --seed 3, (0, 1, 2) from --seeds 0:3 (end excluded), (1, 5) from --seeds 1,5.

    Raises:
        UsageError: both, or neither of those forms.
    """
    if seed is not None and seeds is not None:
        raise UsageError("give --seed or --seeds, not both")
    if seeds is None:
        return (seed or 0,)
    try:
        if ":" in seeds:
            low, high = (int(part) for part in seeds.split(":"))
            chosen = tuple(range(low, high))
        else:
            chosen = tuple(int(part) for part in seeds.split(","))
    except ValueError:
        raise UsageError(
            f"--seeds {seeds}: expected a range such as 0:3 (end excluded) or a list such as 0,1,2"
        ) from None
    if not chosen or min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise UsageError(f"--seeds {seeds}: names no seeds, a negative one, or one twice")
    return chosen


def seed_keys(seeds: tuple[int, ...]) -> jax.Array:
    """[S] one root key per seed, the same whichever seeds run together."""
    root = jax.random.key(POLICY_STREAM)
    return jnp.stack([jax.random.fold_in(root, seed) for seed in seeds])


def model_keys(seed: int) -> tuple[jax.Array, jax.Array]:
    """Keys (scalar) of a model fit: for its initialisation, and for its epochs."""
    init_key, epochs_key = jax.random.split(jax.random.fold_in(jax.random.key(MODEL_STREAM), seed))
    return init_key, epochs_key


def epoch_keys(keys: jax.Array, epoch: int) -> jax.Array:
    """[S] the keys of an epoch: a resumed run continues the same streams."""
    return jax.vmap(lambda key: jax.random.fold_in(key, epoch))(keys)


def over_seeds(epoch: Epoch, seeds: int, axis: str) -> Callable[..., Any]:
    """(states, keys, data) -> (states, metrics, what was not finite), all with a leading seed axis S, compiled.

    "vmap" batches the seeds in one program, which is faster and rounds differently. "map" (and a single seed) runs the
    one-seed program seed by seed, so its bits do not depend on how many seeds there are: were the loop over seeds
    inside the program, XLA would fuse it differently for one seed and for several. The one-seed program keeps the seed
    axis, of length 1, so that a single seed's state is donated as it is, its buffer of rollouts never copied.
    """
    if axis == "vmap" and seeds > 1:
        return jax.jit(jax.vmap(epoch, in_axes=(0, 0, None)), donate_argnums=0)

    def epoch_of_one_seed(states: TrainState, keys: jax.Array, data: TrainData) -> Any:
        result = epoch(jax.tree.map(lambda leaf: leaf[0], states), keys[0], data)
        return jax.tree.map(lambda leaf: leaf[None], result)

    one_seed = jax.jit(epoch_of_one_seed, donate_argnums=0)
    if seeds == 1:
        return one_seed

    def run(states: TrainState, keys: jax.Array, data: TrainData) -> Any:
        rows = [slice(index, index + 1) for index in range(seeds)]
        results = [one_seed(jax.tree.map(lambda leaf, row=row: leaf[row], states), keys[row], data) for row in rows]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *results)

    return run
