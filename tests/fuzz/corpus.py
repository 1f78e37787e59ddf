"""Broken files from numbers: (format, seed) -> the files of a case; nothing of it is stored."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sound_files as sound
from broken_arrays import archive, npz, npz_form, parquet_form, with_fault, with_object
from mutations import WHOLE_FAULTS, Rng, of_bytes, of_json, of_text, of_tree


class Broken(NamedTuple):
    """A case.

    Attributes:
        files: their content by path below the case's folder. main: the one a command is pointed at; "" for the folder.
        how: what was done. fatal: no reader of logs may accept it. same: where a reader accepts it, it is the sound
            log, for the format carries a checksum.
    """

    files: dict[str, bytes]
    main: str
    how: str
    fatal: bool = False
    same: bool = False


def sound_case(kind: str, runs: dict[str, dict[str, bytes]]) -> Broken:
    """The files of a format as they are before they are broken: every command must take them."""
    metadata, episodes = sound.minari()
    if kind.startswith("minari"):
        return _dataset(json.dumps(metadata).encode(), sound.hdf5(episodes), "sound")
    if kind.startswith("run"):
        name = "policy" if kind == "run record" else "ensemble"
        return _run(name, runs[name], "", None, "sound")
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


def _whole_or_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    if not rng.integers(8):
        name = str(rng.choice(list(WHOLE_FAULTS)))
        return WHOLE_FAULTS[name](content), name
    return of_bytes(rng, content)


def _hdf5(rng: Rng) -> Broken:
    arrays, which = sound.renamed(sound.D4RL), int(rng.integers(4))
    if which == 0:
        changed, how, fatal = with_fault(rng, arrays)
        return Broken({"log.hdf5": sound.hdf5(changed)}, "log.hdf5", how, fatal)
    if which == 1:
        changed, how, fatal = with_object(rng, arrays)
        return Broken({"log.hdf5": sound.hdf5(changed)}, "log.hdf5", how, fatal)
    packed = {"chunks": True, "compression": "gzip", "fletcher32": True} if rng.integers(2) else {}
    content, how = _whole_or_bytes(rng, sound.hdf5(arrays, **packed))
    return Broken({"log.hdf5": content}, "log.hdf5", how)


def _npz(rng: Rng) -> Broken:
    arrays, which = sound.renamed(sound.NEORL), int(rng.integers(4))
    if which == 0:
        changed, how, fatal = with_fault(rng, arrays)
        return Broken({"log.npz": archive(list(npz(changed).items()))}, "log.npz", how, fatal)
    if which == 1:
        content, how, fatal = npz_form(rng, npz(arrays))
        return Broken({"log.npz": content}, "log.npz", how, fatal)
    method = 8 * int(rng.integers(2))  # stored or deflated
    content, how = _whole_or_bytes(rng, archive(list(npz(arrays).items()), method))
    return Broken({"log.npz": content}, "log.npz", how, same=True)


def _packed(rng: Rng, name: str, content: bytes, how: str) -> Broken:
    """Now and then compressed, and then broken once more or not."""
    which = int(rng.integers(10))
    if which > 1:
        return Broken({name: content}, name, how)
    packed, suffix = ((gzip.compress, ".gz"), (bz2.compress, ".bz2"))[which]
    content = packed(content)
    if rng.integers(2):
        content, more = _whole_or_bytes(rng, content)
        how = f"{how}, packed, {more}"
    return Broken({name + suffix: content}, name + suffix, how)


def _text(name: str, text: Callable[[], str]) -> Callable[[Rng], Broken]:
    def make(rng: Rng) -> Broken:
        content, how = of_text(rng, text()) if rng.integers(3) else _whole_or_bytes(rng, text().encode())
        return _packed(rng, name, content, how)

    return make


def _json_lines(rng: Rng) -> Broken:
    text = sound.table().write_ndjson()
    if rng.integers(2):
        return _text("log.jsonl", lambda: text)(rng)
    lines = text.splitlines()
    at = int(rng.choice([0, rng.integers(len(lines))]))
    changed, how = of_json(rng, json.loads(lines[at]))
    lines[at] = changed.decode("latin-1").replace("\n", " ")
    return _packed(rng, "log.jsonl", "\n".join(lines).encode("latin-1"), f"line {at}: {how}")


def _parquet(rng: Rng) -> Broken:
    table, how = sound.table(), ""
    if rng.integers(2):
        table, how = parquet_form(rng, table)
    stream = io.BytesIO()
    table.write_parquet(stream, compression=str(rng.choice(["zstd", "uncompressed", "snappy"])))
    content = stream.getvalue()
    if not how:
        content, how = _whole_or_bytes(rng, content)
    return Broken({"log.parquet": content}, "log.parquet", how)


def _metadata(rng: Rng) -> Broken:
    metadata, episodes = sound.minari()
    if not rng.integers(3):  # inside the JSON that the metadata hold as text
        key = str(rng.choice(["observation_space", "action_space", "env_spec"]))
        inner, how = of_json(rng, json.loads(metadata[key]))
        content = json.dumps(metadata | {key: inner.decode("latin-1")}).encode()
    else:
        content, how = of_json(rng, metadata)
    return _dataset(content, sound.hdf5(episodes), how)


def _episodes(rng: Rng) -> Broken:
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
        content, how = _whole_or_bytes(rng, content)
    return _dataset(json.dumps(metadata).encode(), content, f"{name} {how}", fatal)


def _dataset(metadata: bytes, content: bytes, how: str, fatal: bool = False) -> Broken:
    data = f"minari/{sound.ID}/data"
    return Broken({f"{data}/metadata.json": metadata, f"{data}/main_data.hdf5": content}, "", how, fatal)


def _record(rng: Rng, runs: dict[str, dict[str, bytes]]) -> Broken:
    name = str(rng.choice(list(runs)))
    files = dict(runs[name])
    file = str(rng.choice(["run.json", "run.json", "config.toml", "metrics.jsonl"]))
    if file == "run.json":
        content, how = of_json(rng, json.loads(files[file]))
    elif file == "config.toml":
        content, how = _toml(rng, files[file].decode())
    else:
        lines = files[file].decode().splitlines(keepends=True)
        inner, how = of_json(rng, json.loads(lines[-1]))
        content = "".join(lines[:-1]).encode() + inner.replace(b"\n", b"") + b"\n"
    return _run(name, files, file, content, how)


def _checkpoint(rng: Rng, runs: dict[str, dict[str, bytes]]) -> Broken:
    name = str(rng.choice(list(runs)))
    files = dict(runs[name])
    there = [path for path in files if path.startswith("checkpoints/")]
    there.sort(key=lambda path: (Path(path).parent.name, len(files[path]), path))  # Orbax draws the names of some
    file = there[int(rng.integers(len(there)))]
    if not rng.integers(8):
        files.pop(file)
        return _run(name, files, file, None, "missing")
    if rng.integers(2):  # as written before there were seals: what reads the arrays has to notice by itself
        files = {path: content for path, content in files.items() if not path.endswith("/seal.json") or path == file}
    try:
        tree = json.loads(files[file])
    except ValueError:
        content, how = _whole_or_bytes(rng, files[file])
    else:
        content, how = of_json(rng, tree)
    return _run(name, files, file, content, how)


def _run(name: str, files: dict[str, bytes], file: str, content: bytes | None, how: str) -> Broken:
    files = files if content is None else files | {file: content}
    return Broken({f"runs/data/{name}/{path}": each for path, each in files.items()}, name, f"{name}/{file}: {how}")


def _toml(rng: Rng, text: str) -> tuple[bytes, str]:
    """A TOML text with a fault in a word, or with another value."""
    import tomli_w
    from mutations import written

    which = int(rng.integers(4))
    if which == 0:
        return _whole_or_bytes(rng, text.encode())
    if which == 1:
        return of_text(rng, text)
    changed, how = of_tree(rng, tomllib.loads(text))
    try:
        return written(tomli_w.dumps(changed)).encode("utf-8", "surrogatepass"), how
    except (TypeError, ValueError, AttributeError):  # None, which TOML has no word for
        return of_text(rng, text)


def _document(name: str, text: str) -> Callable[[Rng], Broken]:
    def make(rng: Rng) -> Broken:
        content, how = _toml(rng, text)
        return Broken({name: content, "log.csv": sound.table().write_csv().encode()}, name, how)

    return make


SETTINGS = """seed = 3
history = 1
[model]
hidden = [8, 8]
weight_decay = [0.0, 1e-5, 0.0]
members = 3
elites = 2
max_epochs = 4
learning_rate = 1e-3
termination = "auto"
"""
CANDIDATES = """[shared]
history = "auto"
model_seed = 1
[shared.model]
hidden = [8]
weight_decay = [0, 0]
[shared.agent]
hidden = [8]
[budget]
model = 0.3
[[candidate]]
name = "clone"
algo = "bc"
steps = 30
[[candidate]]
name = "near"
algo = "mobrac"
penalty = "calibrated"
share = 0.5
init = "clone"
[candidate.set]
agent = { batch_size = 16 }
"""
MAPPING = """files = ["log.csv"]
id = "fuzz/log-v0"
obs = ["s_*"]
action = ["a_*"]
reward = "r"
next_obs = ["n_*"]
episode = ["ep"]
order = "t"
terminated = "done"
truncated = "cut"
time_limit = 20
action_low = [-1.0]
action_high = [1.0]
reference_min = -5.0
reference_max = 5.0
env_id = "Pendulum-v1"
"""

FORMATS: dict[str, Callable[..., Broken]] = {
    "hdf5": _hdf5,
    "npz": _npz,
    "csv": _text("log.csv", lambda: sound.table().write_csv()),
    "json lines": _json_lines,
    "parquet": _parquet,
    "minari metadata": _metadata,
    "minari hdf5": _episodes,
    "run record": _record,
    "run checkpoint": _checkpoint,
    "toml settings": _document("settings.toml", SETTINGS),
    "toml candidates": _document("candidates.toml", CANDIDATES),
    "toml mapping": _document("mapping.toml", MAPPING),
}
