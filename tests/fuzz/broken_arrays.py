"""Array files whose form is sound and whose content is not: HDF5, NPZ and Parquet."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from mutations import Rng

# (name, fault, whether nothing that needs the array may accept it)
ArrayFault = tuple[str, Callable[[Rng, np.ndarray], Any], bool]


def _poked(value: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    def poke(rng: Rng, array: np.ndarray) -> np.ndarray:
        changed = np.array(array, np.float64)
        changed.reshape(-1)[int(rng.integers(changed.size))] = value
        return changed

    return poke


ARRAY_FAULTS: tuple[ArrayFault, ...] = (
    ("NaN", _poked(np.nan), True),
    ("infinity", _poked(np.inf), True),
    ("beyond float32", _poked(1e39), True),
    ("too short", lambda rng, array: array[: int(rng.integers(len(array)))], True),
    ("too long", lambda rng, array: np.concatenate([array, array[:1]]), True),
    ("no rows", lambda rng, array: array[:0], True),
    ("no columns", lambda rng, array: array.reshape(len(array), -1)[:, :0], True),
    ("a scalar", lambda rng, array: array.reshape(-1)[0], True),
    ("an axis more", lambda rng, array: array[..., None, None], False),
    ("twelve axes", lambda rng, array: array.reshape(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 1), False),
    ("turned", lambda rng, array: array.reshape(len(array), -1).T.copy(), False),
    ("text", lambda rng, array: np.array(["left"] * len(array), "S4"), True),
    ("complex", lambda rng, array: array.astype(np.complex64), True),
    ("records", lambda rng, array: np.zeros(len(array), [("x", "f4"), ("y", "i2")]), True),
    ("negative", lambda rng, array: -1 - np.abs(array.astype(np.float64)), False),
    ("other order of bytes", lambda rng, array: array.astype(array.dtype.newbyteorder(">")), False),
    ("float16", lambda rng, array: array.astype(np.float16), False),
    ("longdouble", lambda rng, array: array.astype(np.longdouble), False),
    ("whole numbers", lambda rng, array: array.astype(np.int64), False),
    ("bytes", lambda rng, array: array.astype(np.uint8), False),
    ("one value", lambda rng, array: np.ones_like(array), False),
    ("zeros", lambda rng, array: np.zeros_like(array), False),
    ("shuffled", lambda rng, array: array[rng.permutation(len(array))], False),
    ("denormal", lambda rng, array: np.full(array.shape, 1e-42, np.float32), False),
    ("huge", lambda rng, array: np.sign(array.astype(np.float32)) * np.float32(3e38), False),
)


def with_fault(rng: Rng, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], str, bool]:
    """The arrays with one of them broken or missing; what was done; whether it can never be read as a log."""
    key = str(rng.choice(list(arrays)))
    if not rng.integers(12):
        return {name: array for name, array in arrays.items() if name != key}, f"lacks {key}", False
    name, fault, fatal = ARRAY_FAULTS[int(rng.integers(len(ARRAY_FAULTS)))]
    return arrays | {key: fault(rng, arrays[key])}, f"{key}: {name}", fatal and arrays[key].size > 0


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


def npz(arrays: dict[str, Any]) -> dict[str, bytes]:
    """The members of an .npz."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        members[f"{name}.npy"] = stream.getvalue()
    return members


def archive(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive; names may come twice."""
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as file:
        warnings.simplefilter("ignore")
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (32,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 3), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (32,), }",
    "{'descr': '<f9', 'fortran_order': False, 'shape': (32,), }",
    "{'descr': '<U4294967295', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (32,), }",
    "{'descr': [('x', '<f4', (9999999999,))], 'fortran_order': False, 'shape': (32,), }",
    "{'descr': '<M8[D]', 'fortran_order': False, 'shape': (32,), }",
    "{'descr': " + "[" * 2000 + "]" * 2000 + ", 'fortran_order': False, 'shape': (32,), }",
    "__import__('os').getcwd()",
    "",
)


def npz_form(rng: Rng, members: dict[str, bytes]) -> tuple[bytes, str, bool]:
    """An archive that is one, of what is no array, or of arrays whose headers lie."""
    key = str(rng.choice(list(members)))
    others, which = [item for item in members.items() if item[0] != key], int(rng.integers(6))
    if which == 0:
        return archive([*others, (key, members[key]), (key, members[key][:-4])]), f"{key} twice", False
    if which == 1:
        return archive([*others, (f"../../{key}", members[key])]), f"{key} in another folder", False
    if which == 2:
        return archive([*others, (key, archive([(key, b"")]))]), f"{key} is an archive", True
    if which == 3:
        method = int(rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED]))
        return archive(list(members.items()), method), f"packing {method}", False
    header = HEADERS[int(rng.integers(len(HEADERS)))].encode()
    version = int(rng.choice([0, 1, 2, 3, 9]))
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    body = b"\x93NUMPY" + bytes([version, 0]) + length + header + members[key][128:]
    return archive([*others, (key, body)]), f"{key}: header {version} {header[:40]!r}", False


def parquet_form(rng: Rng, table: Any) -> tuple[Any, str]:
    """The table with a column of another type, without one, or with values missing."""
    import polars as pl

    name = str(rng.choice(table.columns))
    column, rows = pl.col(name), pl.int_range(pl.len())
    nested: Any = pl.lit([1.0])
    for _ in range(30):
        nested = pl.concat_list(nested)
    changes: dict[str, Any] = {
        "missing value": pl.when(rows == int(rng.integers(32))).then(None).otherwise(column),
        "NaN": pl.when(rows == int(rng.integers(32))).then(float("nan")).otherwise(column.cast(pl.Float64)),
        "all missing": pl.lit(None),
        "text": column.cast(pl.String) + "x",
        "list": pl.concat_list(column, column),
        "nested": nested,
        "struct": pl.struct(column, column.alias("other")),
        "bytes": column.cast(pl.String).cast(pl.Binary),
        "date": pl.lit(0).cast(pl.Date),
        "duration": pl.lit(0).cast(pl.Duration("ms")),
        "time": pl.lit(0).cast(pl.Time),
        "decimal": pl.lit(1).cast(pl.Decimal(38, 10)),
        "category": column.cast(pl.String).cast(pl.Categorical),
        "small number": column.cast(pl.Int8, strict=False),
        "empty text": pl.lit(""),
        "flag": column.cast(pl.Float64) > 0,
    }
    how = str(rng.choice([*changes, "lacks", "no rows", "renamed"]))
    if how == "lacks":
        return table.drop(name), f"lacks {name}"
    if how == "no rows":
        return table.head(0), how
    if how == "renamed":
        return table.rename({name: str(rng.choice(["@row", "@file", "", "e", "part", "final", "s_0.x"]))}), how
    return table.with_columns(changes[how].alias(name)), f"{name}: {how}"
