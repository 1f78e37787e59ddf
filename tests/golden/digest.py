"""What is recorded of a result: small arrays whole, large ones as a norm and three projections, and what is close."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
from made_inputs import named, numbers

from orl.types import Array, Params

WHOLE = 4  # numbers of an array that is recorded as it is
SMALL = 2e-6  # absolute, for numbers that are zero but for rounding
CLOSE = 5e-5  # of losses, gradients and predictions; another compilation of the same program gives 1e-6
MOVED = 1e-3  # of steps of Adam, which divides a gradient by its own size: another compilation gives 4e-5

Digest = dict[str, list[float]]


def digest(results: Any) -> Digest:
    """The results of a case by name; those under "moved" are compared less strictly."""
    return {name: _numbers(name, np.asarray(leaf, np.float64).ravel()) for name, leaf in named(results).items()}


def _numbers(name: str, x: np.ndarray) -> list[float]:
    assert np.isfinite(x).all(), f"{name} is not finite"
    if x.size > WHOLE:
        along = numbers(f"projection of {name}", 3, x.size).astype(np.float64) @ x
        x = np.array([np.linalg.norm(x), *along])
    return [float(f"{number:.8g}") for number in x]


def differences(recorded: Digest, found: Digest) -> list[str]:
    """One line for every name whose numbers are not the same up to rounding, relative to the largest of them."""
    lines = [f"{name}: only in one of the two" for name in sorted(recorded.keys() ^ found.keys())]
    for name in sorted(recorded.keys() & found.keys()):
        old, new = np.array(recorded[name]), np.array(found[name])
        relative = MOVED if name.startswith("moved/") else CLOSE
        if old.shape != new.shape or np.abs(new - old).max() > relative * np.abs(old).max() + SMALL:
            lines.append(f"{name}: recorded {recorded[name]}, found {found[name]}")
    return lines


def mean_gradient(opt_state: Any) -> Params:
    """Adam's running mean of the gradients: linear in them, so rounding stays small in it."""
    return optax.tree.get(opt_state, "mu")


def moved(before: Params, after: Params, unit: float) -> Params:
    """How far parameters went, in units of the learning rate."""

    def leaf(old: Array, new: Array) -> np.ndarray:
        return (np.asarray(new, np.float64) - np.asarray(old, np.float64)) / unit

    return jax.tree.map(leaf, before, after)
