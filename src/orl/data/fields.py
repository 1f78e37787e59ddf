"""Nested observations as one flat vector, in a recorded order that can be repeated on a live environment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.errors import DataError

Fields = tuple[tuple[str, int], ...]
_DEPTH = 32
_INDEX = "_index_"  # Minari's name for a tuple's parts in HDF5, used here for live tuples as well


def fields_of(space: Any, where: str, path: str = "") -> Fields:
    """Names and flat sizes of the boxes in a space given as Minari's JSON; a plain box is one field named ``""``.

    Dict keys are taken in sorted order, as Gymnasium does. Nested names are joined by ``/``.

    Raises:
        DataError: a part that is not a box of numbers; `where` names the dataset in the message.
    """
    if path.count("/") >= _DEPTH:
        raise DataError(f"{where}: the observation space is nested more than {_DEPTH} deep; record it as a Box")
    kind, inner = (space.get("type"), space.get("subspaces")) if isinstance(space, dict) else (None, None)
    if kind == "Box":
        return ((path, _box_size(space, where, path)),)
    if kind == "Dict" and isinstance(inner, dict) and inner:
        parts = sorted(inner.items())
    elif kind == "Tuple" and isinstance(inner, list) and inner:
        parts = [(f"{_INDEX}{i}", part) for i, part in enumerate(inner)]
    else:
        raise DataError(
            f"{where}: observation{_quoted(path)} is a {kind} space; only boxes of numbers, and dicts and "
            "tuples of them, can be read; record it as a Box"
        )
    if any("/" in key for key, _ in parts):
        raise DataError(f"{where}: an observation key contains '/', which separates nested names; rename the key")
    nested = [fields_of(part, where, f"{path}/{key}" if path else key) for key, part in parts]
    return tuple(field for group in nested for field in group)


def flatten_observation(observation: Any, fields: Fields) -> NDArray[np.float32]:
    """[O] vector of a live `observation`, in the order of a dataset's ``obs_fields`` (() for a plain array).

    Raises:
        DataError: the observation lacks a field, or a field has another size than in the log.
    """
    if not fields:
        return np.asarray(observation, np.float32).reshape(-1)
    parts = []
    for name, size in fields:
        part = np.asarray(_pick(observation, name), np.float32).reshape(-1)
        if part.size != size:
            raise DataError(f"observation '{name}' has {part.size} numbers, the dataset has {size}; wrong environment?")
        parts.append(part)
    return np.concatenate(parts)


def _pick(node: Any, name: str) -> Any:
    try:
        for part in name.split("/"):
            node = node[int(part.removeprefix(_INDEX))] if isinstance(node, tuple) else node[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise DataError(f"the observation has no '{name}', which the dataset has; wrong environment?") from None
    return node


def _box_size(space: dict[str, Any], where: str, path: str) -> int:
    shape = space.get("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise DataError(f"{where}: observation{_quoted(path)} has the shape {shape}; fetch or record the dataset again")
    if space.get("dtype") == "uint8" and len(shape) >= 2:
        raise DataError(f"{where}: observation{_quoted(path)} is an image; images cannot be read yet")
    return math.prod(shape)


def _quoted(path: str) -> str:
    return f" '{path}'" if path else ""
