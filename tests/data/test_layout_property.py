"""Whatever the layout of a log, every reader gives it back bit for bit, ends apart, and nothing crosses an episode."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_logs import ACTIONS, write_minari
from random_logs import Layout, Log, bits, layouts, make_log

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.data.history import stacked_rows, with_history
from orl.data.importing.mapping import read_mapping
from orl.data.importing.run import import_dataset
from orl.errors import DataError

examples = settings(max_examples=30, deadline=None)
few = settings(max_examples=12, deadline=None)  # of each kind of file; a Parquet file takes a process of its own
pytestmark = pytest.mark.filterwarnings("ignore:.*(last rows|found from breaks)")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with the datasets folder in it; hypothesis would share a fixture among its examples."""
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", f"{path}/minari")
        yield Path(path)


def crossings(data: Dataset, history: int) -> int:
    """How many numbers in stacked observations, before and after a step, are of another episode than the step's."""
    of_row = data.obs[:, 0]
    size, count = data.obs.shape[1], history + 1
    stacked = stacked_rows(with_history(data, history), np.arange(len(data)))
    ids = np.concatenate([side[:, : size * count : size] for side in stacked], axis=1)
    assert ids.shape == (len(data), 2 * count)
    return int((ids != of_row[:, None]).sum())


def as_read(log: Log, rows: np.ndarray | slice = slice(None)) -> dict[str, Any]:
    """What a dataset of these rows must hold; an end without a flag counts as truncated."""
    truncated = log.truncated | (log.last & ~log.terminated)
    arrays = {"obs": log.obs, "action": log.action, "reward": log.reward, "next_obs": log.next_obs}
    found: dict[str, Any] = {name: bits(array[rows]) for name, array in arrays.items()}
    return found | {"terminated": log.terminated[rows].tolist(), "truncated": truncated[rows].tolist()}


def content(data: Dataset) -> dict[str, Any]:
    """The same of a dataset."""
    found: dict[str, Any] = {name: bits(getattr(data, name)) for name in ("obs", "action", "reward", "next_obs")}
    return found | {"terminated": data.terminated.tolist(), "truncated": data.truncated.tolist()}


def write_d4rl(path: Path, log: Log, *without: str) -> str:
    """The log as a D4RL file."""
    keys = {"observations": log.obs, "actions": log.action, "rewards": log.reward, "next_observations": log.next_obs}
    with h5py.File(path / "log.hdf5", "w") as file:
        for key, array in (keys | {"terminals": log.terminated, "timeouts": log.truncated}).items():
            if key not in without:
                file[key] = array
    return str(path / "log.hdf5")


@examples
@given(layout=layouts(cuts="last"), history=st.integers(0, 4))
def test_d4rl(layout: Layout, history: int) -> None:
    log = make_log(layout)
    with folder() as path:
        data = load(write_d4rl(path, log))
    assert content(data) == as_read(log)
    assert data.lengths.tolist() == list(layout.lengths)
    assert crossings(data, history) == 0


@examples
@given(layout=layouts(cuts="last"))
def test_d4rl_without_timeouts_finds_the_episodes(layout: Layout) -> None:
    """Version 0 of the format: time-outs come back from the rows; where both ends met, only the true one."""
    log = make_log(layout)
    with folder() as path:
        data = load(write_d4rl(path, log, "timeouts"))
    want = as_read(log) | {"truncated": (log.last & ~log.terminated).tolist()}
    assert content(data) == want
    assert data.lengths.tolist() == list(layout.lengths)


@examples
@given(layout=layouts(cuts="last"), history=st.integers(0, 4))
def test_d4rl_without_next_observations(layout: Layout, history: int) -> None:
    """Last rows of time-outs and cuts are unknown and go; those of true ends keep their own observation."""
    log = make_log(layout)
    kept = ~log.last | log.terminated
    with folder() as path:
        name = write_d4rl(path, log, "next_observations")
        if not kept.any():
            with pytest.raises(DataError, match="no row has a known next observation"):
                load(name)
            return
        data = load(name)
    after = np.where(log.last[:, None], log.obs, log.next_obs)
    ends = np.append(np.diff(log.episode[kept]) != 0, True)
    assert bits(data.obs) == bits(log.obs[kept])
    assert bits(data.next_obs) == bits(after[kept])
    assert data.terminated.tolist() == log.terminated[kept].tolist()
    assert (data.terminated | data.truncated).tolist() == ends.tolist()
    assert crossings(data, history) == 0


@examples
@given(layout=layouts(cuts="last"), history=st.integers(0, 4), packed=st.booleans())
def test_neorl(layout: Layout, history: int, packed: bool) -> None:
    log = make_log(layout)
    arrays = {"obs": log.obs, "action": log.action, "reward": log.reward, "next_obs": log.next_obs}
    with folder() as path:
        save = np.savez_compressed if packed else np.savez
        save(path / "log.npz", **arrays, done=log.terminated, truncated=log.truncated)
        data = load(str(path / "log.npz"))
    assert content(data) == as_read(log)
    assert data.lengths.tolist() == list(layout.lengths)
    assert crossings(data, history) == 0


@examples
@given(layout=layouts(), history=st.integers(0, 4))
def test_minari(layout: Layout, history: int) -> None:
    """A dict of several fields; the episodes of a folder may be cut anywhere, for each stands by itself."""
    log = make_log(layout)
    edges = np.cumsum((0, *layout.fields))
    space = {f"f{i}": {"type": "Box", "dtype": "float32", "shape": [size]} for i, size in enumerate(layout.fields)}
    episodes = []
    for episode in range(len(layout.lengths)):
        rows = log.episode == episode
        obs = np.concatenate([log.obs[rows], log.next_obs[rows][-1:]])
        parts = {f"f{i}": obs[:, edges[i] : edges[i + 1]] for i in range(len(layout.fields))}
        flags = {"terminations": log.terminated[rows], "truncations": log.truncated[rows]}
        episodes.append({"observations": parts, "actions": log.action[rows], "rewards": log.reward[rows]} | flags)
    spaces = {
        "observation_space": json.dumps({"type": "Dict", "subspaces": space}),
        "action_space": json.dumps(ACTIONS | {"shape": [2], "low": [-1, -1], "high": [1, 1]}),
    }
    with folder() as path:
        write_minari(path / "minari", "toy/random-v0", episodes, **spaces)
        data = load("toy/random-v0")
    assert content(data) == as_read(log)
    assert data.lengths.tolist() == list(layout.lengths)
    assert crossings(data, history) == 0


def write_rows(path: Path, kind: str, log: Log, order: np.ndarray) -> Path:
    """The rows in this order as a file: arrays as such, as lists, or as columns `obs.0`, `obs.1`."""
    arrays = {"obs": log.obs, "next": log.next_obs, "act": log.action, "r": log.reward}
    arrays |= {"done": log.terminated, "cut": log.truncated, "ep": log.episode, "t": log.t}
    arrays = {name: array[order] for name, array in arrays.items()}
    file = path / f"log.{kind}"
    if kind == "npz":
        np.savez(file, **arrays)
    elif kind == "hdf5":
        with h5py.File(file, "w") as opened:
            for name, array in arrays.items():
                opened[name] = array
    elif kind == "csv":
        columns = {name: array for name, array in arrays.items() if array.ndim == 1}
        wide = {name: array for name, array in arrays.items() if array.ndim == 2}
        columns |= {f"{name}.{i}": array[:, i] for name, array in wide.items() for i in range(array.shape[1])}
        pl.DataFrame(columns).write_csv(file)
    else:
        table = pl.DataFrame({name: array.tolist() for name, array in arrays.items()})
        (table.write_parquet if kind == "parquet" else table.write_ndjson)(file)
    return file


COLUMNS = {"obs": ["obs"], "action": ["act"], "reward": "r", "episode": ["ep"], "order": "t"}
COLUMNS |= {"terminated": "done", "truncated": "cut"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "npz", "hdf5"])
@few
@given(layout=layouts(), history=st.integers(0, 4), has_next=st.booleans())
def test_imports_in_any_order(kind: str, layout: Layout, history: int, has_next: bool) -> None:
    """Rows in any order of the file, with their next observations or with those of the following rows."""
    log = make_log(layout)
    order = np.random.default_rng(layout.seed).permutation(len(log.t))
    kept = np.ones(len(log.t), bool) if has_next else ~log.last | log.terminated
    with folder() as path:
        tree = COLUMNS | ({"next_obs": ["next"]} if has_next else {}) | {"id": "made/log-v0"}
        mapping = read_mapping(None, tree | {"files": [str(write_rows(path, kind, log, order))]})
        if not kept.any():
            with pytest.raises(DataError, match="no step has a known next observation"):
                import_dataset(mapping)
            return
        import_dataset(mapping)
        data = load("made/log-v0")
    ends = np.append(np.diff(log.episode[kept]) != 0, True)
    after = log.next_obs if has_next else np.where(log.last[:, None], log.obs, log.next_obs)
    want = as_read(log._replace(next_obs=after), kept)
    if not has_next:  # the row before a last one that went is where its episode was cut
        want["truncated"] = (np.array(want["truncated"]) | (ends & ~log.terminated[kept])).tolist()
    assert content(data) == want
    assert (data.terminated | data.truncated).tolist() == ends.tolist()
    assert crossings(data, history) == 0


@pytest.mark.parametrize("kind", ["csv", "npz"])
@examples
@given(layout=layouts(cuts="last"))
def test_imports_told_apart_by_their_flags(kind: str, layout: Layout) -> None:
    """Neither keys nor an order: rows as they stand, episodes end where a flag says so."""
    log = make_log(layout)
    with folder() as path:
        tree = {key: names for key, names in COLUMNS.items() if key not in ("episode", "order")}
        file = write_rows(path, kind, log, np.arange(len(log.t)))
        tree |= {"next_obs": ["next"], "id": "made/log-v0", "files": [str(file)]}
        import_dataset(read_mapping(None, tree))
        data = load("made/log-v0")
    assert content(data) == as_read(log)
    assert data.lengths.tolist() == list(layout.lengths)


@examples
@given(layout=layouts(cuts="last"), row=st.integers(0, 10**6))
def test_a_next_observation_of_another_episode_is_refused(layout: Layout, row: int) -> None:
    """The flag of one end taken away: the rows then contradict each other, and nothing is learned from them."""
    log = make_log(layout)
    inner = np.flatnonzero(log.last[:-1])
    if not len(inner):
        return
    end = inner[row % len(inner)]
    for flags in (log.terminated, log.truncated):
        flags[end] = False
    with folder() as path, pytest.raises(DataError, match=f"next observation of row {end} is not the observation"):
        load(write_d4rl(path, log))
