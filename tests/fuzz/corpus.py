"""Broken files from numbers: (format, seed) -> the files of a case; nothing of it is stored."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable

import numpy as np
import sound_files as sound
from broken_npz import archive, npz
from folder_cases import checkpoint_case, dataset_files, episodes_case, metadata_case, record_case, run_files
from fuzz_case import Broken
from log_cases import hdf5_case, json_lines_case, npz_case, parquet_case, text_case
from toml_cases import CANDIDATES, MAPPING, SETTINGS, document_case

FORMATS: dict[str, Callable[..., Broken]] = {
    "hdf5": hdf5_case,
    "npz": npz_case,
    "csv": text_case("log.csv", lambda: sound.table().write_csv()),
    "json lines": json_lines_case,
    "parquet": parquet_case,
    "minari metadata": metadata_case,
    "minari hdf5": episodes_case,
    "run record": record_case,
    "run checkpoint": checkpoint_case,
    "toml settings": document_case("settings.toml", SETTINGS),
    "toml candidates": document_case("candidates.toml", CANDIDATES),
    "toml mapping": document_case("mapping.toml", MAPPING),
}


def sound_case(kind: str, runs: dict[str, dict[str, bytes]]) -> Broken:
    """The files of a format as they are before they are broken: every command must take them."""
    metadata, episodes = sound.minari()
    if kind.startswith("minari"):
        return dataset_files(json.dumps(metadata).encode(), sound.hdf5(episodes), "sound")
    if kind.startswith("run"):
        name = "policy" if kind == "run record" else "ensemble"
        return run_files(name, runs[name], "", None, "sound")
    stream = io.BytesIO()
    sound.table().write_parquet(stream)
    name, content = {
        "hdf5": ("log.hdf5", sound.hdf5(sound.renamed(sound.D4RL))),
        "npz": ("log.npz", archive(list(npz(sound.renamed(sound.NEORL)).items()))),
        "csv": ("log.csv", sound.table().write_csv().encode()),
        "json lines": ("log.jsonl", sound.table().write_ndjson().encode()),
        "parquet": ("log.parquet", stream.getvalue()),
        "toml settings": ("settings.toml", SETTINGS.encode()),
        "toml candidates": ("candidates.toml", CANDIDATES.encode()),
        "toml mapping": ("mapping.toml", MAPPING.encode()),
    }[kind]
    return Broken({name: content, "log.csv": sound.table().write_csv().encode()}, name, "sound", same=True)


def broken(kind: str, seed: int, runs: dict[str, dict[str, bytes]]) -> Broken:
    """Case `seed` of a format; `runs` are the files of sound run folders by name."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    if kind.startswith("run"):
        return FORMATS[kind](rng, runs)
    return FORMATS[kind](rng)
