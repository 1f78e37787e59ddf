"""HDF5 files with what is no array of numbers: links, groups, types, declared sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mutations import Rng


def _link(kind: str) -> Callable[[Any, str], None]:
    def make(group: Any, name: str) -> None:
        import h5py

        group[name] = {
            "soft": h5py.SoftLink("/nowhere"),
            "circle": h5py.SoftLink(f"{group.name}/{name}"),
            "external": h5py.ExternalLink("/etc/hostname", "/x"),
        }[kind]

    return make


def _declared(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> Callable[[Any, str], None]:
    return lambda group, name: group.create_dataset(name, shape, "f8", chunks=chunks) and None


def _ladder(group: Any, name: str) -> None:
    for _ in range(60):
        group = group.create_group(name)


def _twice(group: Any, name: str) -> None:
    group[name] = group.create_group("other")


def _typed(kind: str) -> Callable[[Any, str], None]:
    def make(group: Any, name: str) -> None:
        import h5py

        dtype = {
            "references": h5py.ref_dtype,
            "lists": h5py.vlen_dtype(np.dtype("f4")),
            "strings": h5py.string_dtype(),
            "enumeration": h5py.enum_dtype({"RED": 0, "GREEN": 1}),
        }[kind]
        group.create_dataset(name, (32,), dtype)

    return make


def _named_type(group: Any, name: str) -> None:
    group[name] = np.dtype("f8")


# what stands where an array should; all but the enumeration is refused
HDF5_OBJECTS: dict[str, Callable[[Any, str], None]] = {
    "a soft link": _link("soft"),
    "a link to itself": _link("circle"),
    "an external link": _link("external"),
    "a group": lambda group, name: group.create_group(name) and None,
    "a named type": _named_type,
    "declared huge": _declared((2**40, 2**10), None),
    "declared huge, in chunks": _declared((2**40, 4), (1024, 4)),
    "one huge chunk": _declared((2**28,), (2**28,)),
    "beyond 64 bits": _declared((2**40, 2**30), (1, 1)),
    "references": _typed("references"),
    "lists": _typed("lists"),
    "strings": _typed("strings"),
    "enumeration": _typed("enumeration"),
    "sixty groups deep": _ladder,
    "a group with two names": _twice,
}


def with_object(rng: Rng, content: dict[str, Any]) -> tuple[dict[str, Any], str, bool]:
    """The content of an HDF5 file with something that is no array in place of one, or beside them."""
    name = str(rng.choice(list(HDF5_OBJECTS)))
    key = str(rng.choice([*content, "beside"]))
    return content | {key: HDF5_OBJECTS[name]}, f"{key}: {name}", key != "beside" and name != "enumeration"
