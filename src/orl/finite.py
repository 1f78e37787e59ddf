"""Which tensor stopped being finite first, and at which update: marked inside a compiled epoch, told once after it.

Losses and the gradients of short arrays (biases, scales, temperatures) are marked at every update, all arrays before
the first update and after the last. A bias's gradient is the sum of what flows back through its layer, so it is not
finite where that is not, and costs a hundredth of the kernel's to look at. Gradients are read from Adam's running mean,
which has the shape of the parameters and never becomes finite again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from orl.types import Array

NEVER = 2**31 - 1  # the first bad update of a tensor that has none
SHORT = 4096  # numbers of an array that is looked at in every update, members and seeds apart
UNTOLD = re.compile(r"params|policy|net|(Vmap)?MLP_\d+")  # levels of a tree that say nothing about a tensor

Named = tuple[str, Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Marks:
    """Whether each tensor of `names` (N of them, in the order in which they are computed) is not finite: [..., N]."""

    bad: Array
    names: tuple[str, ...] = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Onset:
    """The tensor of `names` that was the first not to be finite in an epoch.

    Attributes:
        update: [...] int32, from 0 within the epoch, -1 for what the epoch began with; NEVER where all stayed finite.
        tensor: [...] int32, its place in `names`.
    """

    update: Array
    tensor: Array
    names: tuple[str, ...] = field(metadata={"static": True})


class NotFinite(NamedTuple):
    """An onset that happened: row of the leading axis (the seed), update within the epoch, name of the tensor."""

    row: int
    update: int
    tensor: str


def mark(tensors: Iterable[Named]) -> Marks:
    """The marks [N] of named arrays."""
    pairs = list(tensors)
    bad = [~jnp.all(jnp.isfinite(x)) for _, x in pairs]
    return Marks(jnp.stack(bad) if bad else jnp.zeros(0, bool), tuple(name for name, _ in pairs))


def mark_members(tensors: Iterable[Named]) -> Marks:
    """The marks of arrays [E, ...], one of each member: "Dense_0/kernel of member 3"."""
    pairs = list(tensors)
    bad = [~jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim))) for _, x in pairs]
    names = (f"{name} of member {member}" for name, x in pairs for member in range(x.shape[0]))
    return Marks(jnp.concatenate(bad), tuple(names))


def join(*marks: Marks) -> Marks:
    """Marks of one moment together; where several are bad at once, the first is named."""
    names = tuple(name for each in marks for name in each.names)
    return Marks(jnp.concatenate([each.bad for each in marks], axis=-1), names)


def at_once(marks: Marks) -> Marks:
    """Marks [N] as those [1, N] of the first update, for what is computed right before it."""
    return Marks(marks.bad[None], marks.names)


def onset(before: Marks, during: Sequence[Marks], after: Marks) -> Onset:
    """The first tensor of an epoch that was not finite.

    Args:
        before: marks [N] of what the epoch began with. during: marks [U, N] of U updates; where several tensors are
            bad in the same update, the first is meant. after: marks [N] of what the last update left.
    """
    last = max(each.bad.shape[0] for each in during) - 1
    first = [jnp.where(before.bad, -1, NEVER)]
    for each in during:
        # a row that is always bad stands behind the last: so there is a first, also of no updates at all
        whole = jnp.concatenate([each.bad, jnp.ones((1, each.bad.shape[1]), bool)])
        when = jnp.argmax(whole, axis=0)
        first.append(jnp.where(when < each.bad.shape[0], when, NEVER))
    first.append(jnp.where(after.bad, max(last, 0), NEVER))
    when = jnp.concatenate(first).astype(jnp.int32)
    names = before.names + sum((each.names for each in during), ()) + after.names
    return Onset(jnp.min(when), jnp.argmin(when).astype(jnp.int32), names)


def tell(found: Onset) -> NotFinite | None:
    """The earliest onset of all rows, None where everything stayed finite. Waits for the device."""
    update, tensor = (x.reshape(-1) for x in jax.device_get((found.update, found.tensor)))
    row = int(update.argmin())
    return None if update[row] == NEVER else NotFinite(row, int(update[row]), found.names[int(tensor[row])])


def gradients(state: Any) -> list[Named]:
    """Adam's running means of short arrays in a state, named after what they are the gradients of."""
    return [(f"gradient of {name}", x) for moment, name, x in _floats(state) if moment == "mu" and x.size <= SHORT]


def arrays(state: Any) -> list[Named]:
    """Every floating-point array in a state: parameters, then Adam's moments."""
    said = {"": "", "mu": "gradient of ", "nu": "mean squared gradient of "}
    found = _floats(state)
    return [(said[moment] + name, x) for kind in said for moment, name, x in found if moment == kind]


def short(tree: Any, prefix: str = "") -> list[Named]:
    """The short arrays of a tree by their names, such as "critic/Dense_0/bias"."""
    return [(prefix + name, x) for _, name, x in _floats(tree) if x.size <= SHORT]


def _floats(tree: Any) -> list[tuple[str, str, Array]]:
    """("mu", "nu" or "", name, array) of every floating-point array in a tree."""
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        parts = [str(getattr(key, "name", getattr(key, "key", ""))) for key in path]
        moment = next((part for part in parts if part in ("mu", "nu")), "")
        told = [part.removesuffix("_opt") for part in parts if part not in ("", moment) and not UNTOLD.fullmatch(part)]
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            found.append((moment, "/".join(told), leaf))
    return found
