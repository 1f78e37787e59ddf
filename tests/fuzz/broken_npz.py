"""NPZ archives whose members or headers are not what they seem."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from mutations import Rng


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
