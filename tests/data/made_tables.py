"""A small log as a table, and that table as a file of every kind."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from orl.data.importing.mapping import Mapping, read_mapping
from orl.data.importing.run import import_dataset

FLAT = {
    "obs": ["s_*"],
    "action": ["a_1"],
    "reward": "r",
    "next_obs": ["n_*"],
    "episode": ["ep"],
    "order": "t",
    "terminated": "done",
    "truncated": "cut",
}
LENGTHS = (4, 3, 5)  # of episodes 2, 9 and 10


def make_table(seed: int = 0) -> pl.DataFrame:
    """Three episodes in order; the first ends truly, the others are cut. `s_10` comes before `s_2` in the file."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for index, (episode, length) in enumerate(zip((2, 9, 10), LENGTHS, strict=True)):
        states = rng.normal(size=(length + 1, 2)).astype(np.float32)
        for t in range(length):
            last = t == length - 1
            rows.append(
                {
                    "ep": episode,
                    "t": t,
                    "s_10": float(states[t, 1]),
                    "s_2": float(states[t, 0]),
                    "a_1": float(np.float32(rng.uniform(-3, 5))),
                    "r": float(rng.normal()),
                    "n_10": float(states[t + 1, 1]),
                    "n_2": float(states[t + 1, 0]),
                    "done": last and index == 0,
                    "cut": last and index > 0,
                }
            )
    return pl.DataFrame(rows)


def write_table(table: pl.DataFrame, path: Path) -> Path:
    """The table as a file of the kind that the suffix of `path` says."""
    kind = path.name.split(".", 1)[1]
    if kind == "parquet":
        table.write_parquet(path)
    elif kind == "npz":
        np.savez(path, **{name: table[name].to_numpy() for name in table.columns})
    elif kind == "hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            for name in table.columns:
                file[f"log/{name}"] = table[name].to_numpy()
    else:
        text = table.write_csv() if kind.startswith("csv") else table.write_ndjson()
        pack = {"gz": gzip.compress, "bz2": bz2.compress}.get(kind.split(".")[-1], bytes)
        path.write_bytes(pack(text.encode()))
    return path


def mapping_for(*files: Path, **changes: Any) -> Mapping:
    """The mapping of `make_table`, with changes; None takes an entry out."""
    tree = {"files": [str(file) for file in files], "id": "made/log-v0"} | FLAT | changes
    return read_mapping(None, {key: value for key, value in tree.items() if value is not None})


def import_table(table: pl.DataFrame, path: Path, **changes: Any) -> dict[str, Any]:
    """The report of importing `table` by way of a file at `path`."""
    return import_dataset(mapping_for(write_table(table, path), **changes))
