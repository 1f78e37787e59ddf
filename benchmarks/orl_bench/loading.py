"""A log of Hopper's shape read from disk as `orl` reads it, checks included, against the machine's memory copies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hopper import ACT, OBS
from orl_bench.yardsticks import COPY

EPISODE = 1000
MINARI_ID = "bench/hopper-v0"
VARIABLE = "MINARI_DATASETS_PATH"


def rows_of(setting: Setting) -> int:
    """A million, or a tenth of it."""
    return 100_000 if setting.quick else 1_000_000


def write_minari(folder: Path, rows: int) -> Callable[[], Dataset]:
    """Write episodes as Minari does, float64 observations and rewards; returns the call that loads them."""
    data, rng = folder / MINARI_ID / "data", np.random.default_rng(0)
    data.mkdir(parents=True)
    episodes = rows // EPISODE
    box: dict[str, Any] = {"type": "Box", "dtype": "float32", "shape": [ACT], "low": [-1.0] * ACT, "high": [1.0] * ACT}
    seen = {"type": "Box", "dtype": "float64", "shape": [OBS], "low": [-10.0] * OBS, "high": [10.0] * OBS}
    metadata = {"total_episodes": episodes, "total_steps": rows, "data_format": "hdf5"}
    metadata |= {"observation_space": json.dumps(seen), "action_space": json.dumps(box)}
    (data / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for index in range(episodes):
            group = file.create_group(f"episode_{index}")
            group["observations"] = rng.standard_normal((EPISODE + 1, OBS))
            group["actions"] = rng.uniform(-1, 1, (EPISODE, ACT)).astype(np.float32)
            group["rewards"] = rng.standard_normal(EPISODE)
            group["terminations"], group["truncations"] = np.zeros(EPISODE, bool), _last(EPISODE)
    return lambda: _with_datasets_in(folder, lambda: load(MINARI_ID))


def write_d4rl(folder: Path, rows: int) -> Callable[[], Dataset]:
    """Write the rows as D4RL does, next observations included; returns the call that loads them."""
    path, rng = folder / "hopper.hdf5", np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    obs = rng.standard_normal((rows + 1, OBS), np.float32)
    with h5py.File(path, "w") as file:
        file["observations"], file["next_observations"] = obs[:-1], obs[1:]
        file["actions"] = rng.uniform(-1, 1, (rows, ACT)).astype(np.float32)
        file["rewards"] = rng.standard_normal(rows, np.float32)
        file["terminals"], file["timeouts"] = np.zeros(rows, bool), np.tile(_last(EPISODE), rows // EPISODE)
    return lambda: load(str(path))


def loading_work(kind: str, write: Callable[[Path, int], Callable[[], Dataset]], setting: Setting) -> Work:
    """Reading all rows; needed is that every array of the dataset is written once."""
    rows = rows_of(setting)
    call = write(setting.folder, rows)
    arrays = [value for value in vars(call()).values() if isinstance(value, np.ndarray)]
    return Work(
        workload=f"{rows:,} rows in {rows // EPISODE} episodes, {kind}",
        unit="rows",
        count=rows,
        amount=sum(array.nbytes for array in arrays) / 1e9,
        call=call,
        repeats=5,
        against=COPY,
        warm=False,
    )


def _last(length: int) -> np.ndarray:
    return np.arange(length) == length - 1


def _with_datasets_in(folder: Path, call: Callable[[], Dataset]) -> Dataset:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    try:
        return call()
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


BENCHMARKS = [
    Benchmark("load-minari", "loading", partial(loading_work, "Minari's HDF5", write_minari), margin=0.4),
    Benchmark("load-d4rl", "loading", partial(loading_work, "D4RL's HDF5", write_d4rl), margin=0.4),
]
