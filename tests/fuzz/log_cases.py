"""Broken logs that are one file: HDF5, NPZ, CSV, JSON lines, Parquet."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable

import sound_files as sound
from broken_arrays import parquet_form, with_fault
from broken_hdf5 import with_object
from broken_npz import archive, npz, npz_form
from fuzz_case import Broken, whole_or_bytes
from mutations import Rng, of_json, of_text


def hdf5_case(rng: Rng) -> Broken:
    """A D4RL file."""
    arrays, which = sound.renamed(sound.D4RL), int(rng.integers(4))
    if which == 0:
        changed, how, fatal = with_fault(rng, arrays)
        return Broken({"log.hdf5": sound.hdf5(changed)}, "log.hdf5", how, fatal)
    if which == 1:
        changed, how, fatal = with_object(rng, arrays)
        return Broken({"log.hdf5": sound.hdf5(changed)}, "log.hdf5", how, fatal)
    packed = {"chunks": True, "compression": "gzip", "fletcher32": True} if rng.integers(2) else {}
    content, how = whole_or_bytes(rng, sound.hdf5(arrays, **packed))
    return Broken({"log.hdf5": content}, "log.hdf5", how)


def npz_case(rng: Rng) -> Broken:
    """A NeoRL file."""
    arrays, which = sound.renamed(sound.NEORL), int(rng.integers(4))
    if which == 0:
        changed, how, fatal = with_fault(rng, arrays)
        return Broken({"log.npz": archive(list(npz(changed).items()))}, "log.npz", how, fatal)
    if which == 1:
        content, how, fatal = npz_form(rng, npz(arrays))
        return Broken({"log.npz": content}, "log.npz", how, fatal)
    method = 8 * int(rng.integers(2))  # stored or deflated
    content, how = whole_or_bytes(rng, archive(list(npz(arrays).items()), method))
    return Broken({"log.npz": content}, "log.npz", how, same=True)


def packed_case(rng: Rng, name: str, content: bytes, how: str) -> Broken:
    """Now and then compressed, and then broken once more or not."""
    which = int(rng.integers(10))
    if which > 1:
        return Broken({name: content}, name, how)
    packed, suffix = ((gzip.compress, ".gz"), (bz2.compress, ".bz2"))[which]
    content = packed(content)
    if rng.integers(2):
        content, more = whole_or_bytes(rng, content)
        how = f"{how}, packed, {more}"
    return Broken({name + suffix: content}, name + suffix, how)


def text_case(name: str, text: Callable[[], str]) -> Callable[[Rng], Broken]:
    """Makes cases of a text file."""

    def make(rng: Rng) -> Broken:
        content, how = of_text(rng, text()) if rng.integers(3) else whole_or_bytes(rng, text().encode())
        return packed_case(rng, name, content, how)

    return make


def json_lines_case(rng: Rng) -> Broken:
    """JSON lines, one of them broken as JSON in half of the cases."""
    text = sound.table().write_ndjson()
    if rng.integers(2):
        return text_case("log.jsonl", lambda: text)(rng)
    lines = text.splitlines()
    at = int(rng.choice([0, rng.integers(len(lines))]))
    changed, how = of_json(rng, json.loads(lines[at]))
    lines[at] = changed.decode("latin-1").replace("\n", " ")
    return packed_case(rng, "log.jsonl", "\n".join(lines).encode("latin-1"), f"line {at}: {how}")


def parquet_case(rng: Rng) -> Broken:
    """A Parquet file."""
    table, how = sound.table(), ""
    if rng.integers(2):
        table, how = parquet_form(rng, table)
    stream = io.BytesIO()
    table.write_parquet(stream, compression=str(rng.choice(["zstd", "uncompressed", "snappy"])))
    content = stream.getvalue()
    if not how:
        content, how = whole_or_bytes(rng, content)
    return Broken({"log.parquet": content}, "log.parquet", how)
