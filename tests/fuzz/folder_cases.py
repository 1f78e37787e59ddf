"""Broken folders: Minari datasets and runs."""

from __future__ import annotations

import json
from pathlib import Path

import sound_files as sound
from broken_arrays import with_fault
from broken_hdf5 import with_object
from fuzz_case import Broken, whole_or_bytes
from mutations import Rng, of_json
from toml_cases import broken_toml


def metadata_case(rng: Rng) -> Broken:
    """A Minari dataset with broken metadata."""
    metadata, episodes = sound.minari()
    if not rng.integers(3):  # inside the JSON that the metadata hold as text
        key = str(rng.choice(["observation_space", "action_space", "env_spec"]))
        inner, how = of_json(rng, json.loads(metadata[key]))
        content = json.dumps(metadata | {key: inner.decode("latin-1")}).encode()
    else:
        content, how = of_json(rng, metadata)
    return dataset_files(content, sound.hdf5(episodes), how)


def episodes_case(rng: Rng) -> Broken:
    """A Minari dataset with broken episodes."""
    metadata, episodes = sound.minari()
    which, fatal = int(rng.integers(4)), False
    name = str(rng.choice(list(episodes)))
    if which == 0:
        plain = {key: value for key, value in episodes[name].items() if key != "observations"}
        changed, how, fatal = with_fault(rng, plain)
        episodes[name] = changed | {"observations": episodes[name]["observations"]}
    elif which == 1:
        inner, how, fatal = with_object(rng, episodes[name])
        episodes[name] = inner
    elif which == 2:
        episodes, how, fatal = with_object(rng, episodes)
    content = sound.hdf5(episodes)
    if which == 3:
        content, how = whole_or_bytes(rng, content)
    return dataset_files(json.dumps(metadata).encode(), content, f"{name} {how}", fatal)


def dataset_files(metadata: bytes, content: bytes, how: str, fatal: bool = False) -> Broken:
    """The two files of a Minari dataset."""
    data = f"minari/{sound.ID}/data"
    return Broken({f"{data}/metadata.json": metadata, f"{data}/main_data.hdf5": content}, "", how, fatal)


def record_case(rng: Rng, runs: dict[str, dict[str, bytes]]) -> Broken:
    """A run with a broken record, settings or metrics."""
    name = str(rng.choice(list(runs)))
    files = dict(runs[name])
    file = str(rng.choice(["run.json", "run.json", "config.toml", "metrics.jsonl"]))
    if file == "run.json":
        content, how = of_json(rng, json.loads(files[file]))
    elif file == "config.toml":
        content, how = broken_toml(rng, files[file].decode())
    else:
        lines = files[file].decode().splitlines(keepends=True)
        inner, how = of_json(rng, json.loads(lines[-1]))
        content = "".join(lines[:-1]).encode() + inner.replace(b"\n", b"") + b"\n"
    return run_files(name, files, file, content, how)


def checkpoint_case(rng: Rng, runs: dict[str, dict[str, bytes]]) -> Broken:
    """A run with a broken file of a checkpoint."""
    name = str(rng.choice(list(runs)))
    files = dict(runs[name])
    there = [path for path in files if path.startswith("checkpoints/")]
    there.sort(key=lambda path: (Path(path).parent.name, len(files[path]), path))  # Orbax draws the names of some
    file = there[int(rng.integers(len(there)))]
    if not rng.integers(8):
        files.pop(file)
        return run_files(name, files, file, None, "missing")
    if rng.integers(2):  # as written before there were seals: what reads the arrays has to notice by itself
        files = {path: content for path, content in files.items() if not path.endswith("/seal.json") or path == file}
    try:
        tree = json.loads(files[file])
    except ValueError:
        content, how = whole_or_bytes(rng, files[file])
    else:
        content, how = of_json(rng, tree)
    return run_files(name, files, file, content, how)


def run_files(name: str, files: dict[str, bytes], file: str, content: bytes | None, how: str) -> Broken:
    """A run folder with other content in one of its files."""
    files = files if content is None else files | {file: content}
    return Broken({f"runs/data/{name}/{path}": each for path, each in files.items()}, name, f"{name}/{file}: {how}")
