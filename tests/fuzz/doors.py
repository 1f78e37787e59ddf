"""What `orl` does with a file of each format: its commands, called as the program calls them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sound_files as sound
import typer

from orl_cli import data, data_check, data_import, export, fit_model, runs, tune
from orl_cli.common import guarded


class Call(NamedTuple):
    """How a command ended: its exit code (1 for an error nobody foresaw), stdout, stderr."""

    door: str
    code: int
    out: str
    err: str


def call(door: str, command: Callable[..., Any], *arguments: Any, **options: Any) -> Call:
    """Run a guarded command; whatever it raises becomes an exit code, and its traceback part of stderr."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command(*arguments, **options)
        except typer.Exit as end:
            code = end.exit_code
        except BaseException:
            code = 1
            traceback.print_exc()
    return Call(door, code, out.getvalue(), err.getvalue())


def log_file(path: Path) -> list[Call]:
    """`orl data show` and `orl data check`, and what a reading that succeeded gave."""
    return _dataset(str(path))


def imported(columns: dict[str, Any]) -> Callable[[Path], list[Call]]:
    """`orl data import`, and what can be loaded afterwards."""

    def doors(path: Path) -> list[Call]:
        options = {"files": [path], "id": sound.ID, "force": True, "json": True, "quiet": True} | columns
        done = call("data import", data_import.import_, **options)
        return [done] if done.code else [done, *_dataset(sound.ID)]

    return doors


def minari(path: Path) -> list[Call]:
    """The doors of a Minari dataset, and the list of all of them."""
    return [*_dataset(sound.ID), call("data list", data.list_, json=True)]


def mapping(path: Path) -> list[Call]:
    """`orl data import --mapping`."""
    return [call("data import --mapping", data_import.import_, mapping=path, dry_run=True, json=True, quiet=True)]


def settings(path: Path) -> list[Call]:
    """`orl fit-model --config`, as far as its settings and its memory."""
    options = {"config": path, "dataset": os.environ["FUZZ_LOG"], "dry_run": True, "probe": False, "json": True}
    return [call("fit-model --config", fit_model.fit_model, quiet=True, **options)]


def candidates(path: Path) -> list[Call]:
    """`orl tune --candidates`."""
    return [call("tune --candidates", tune.tune, candidates=path, list_=True, json=True)]


def run_folder(path: Path) -> list[Call]:
    """`orl runs list` and `show`, and loading what the run made, as `evaluate` and every command after a fit do."""
    calls = [
        call("runs list", runs.list_, path.parents[1], json=True),
        call("runs list, drawn", runs.list_, path.parents[1]),
        call("runs show", runs.show, path, json=True),
        call("runs show, drawn", runs.show, path),
        call("load", guarded(_load), path),
    ]
    if path.name != "ensemble":
        calls.append(call("export", export.export, path, dry_run=True, json=True, quiet=True))
    return calls


def _load(path: Path) -> None:
    """The policy's action, or the parameters of the model; they must be numbers of the right shape."""
    import jax

    import orl

    if path.name == "ensemble":
        model = orl.load_model(path)
        print(json.dumps({"finite": all(bool(np.isfinite(x).all()) for x in jax.tree.leaves(model.params))}))
    else:
        action = orl.load_policy(path)(np.zeros(3, np.float32))
        print(json.dumps({"finite": bool(np.isfinite(action).all()), "shape": action.shape}))


def _dataset(name: str) -> list[Call]:
    shown = call("data show", data.show, name, json=True, quiet=True)
    calls = [shown, call("data check", data_check.check, name, json=True, quiet=True)]
    return calls if shown.code else [*calls, call("unsound", _refuse_unsound, name)]


def _refuse_unsound(name: str) -> None:
    """Hold a dataset that was accepted to what every dataset promises, without the code that checked it."""
    from orl.data.catalog import load

    log = load(name)
    steps = len(log.reward)
    for array in (log.obs, log.action, log.reward, log.next_obs, log.action_low, log.action_high):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert {len(x) for x in (log.obs, log.action, log.next_obs, log.terminated, log.truncated)} == {steps}
    assert log.obs.shape == log.next_obs.shape
    assert log.terminated.dtype == log.truncated.dtype == bool
    ends = np.zeros(steps, bool)
    ends[np.append(log.starts[1:], steps) - 1] = True
    assert (ends == (log.terminated | log.truncated)).all()
    assert ((log.action_low <= log.action) & (log.action <= log.action_high)).all()
    inside = np.flatnonzero(~ends)
    scale = 1e-3 * (log.obs.std(axis=0, dtype=np.float64) + np.abs(log.obs[inside + 1])) + 1e-30
    assert (np.abs(log.next_obs[inside].astype(np.float64) - log.obs[inside + 1]) <= scale).all()


DOORS: dict[str, tuple[Callable[[Path], list[Call]], ...]] = {
    "hdf5": (log_file, imported(sound.D4RL_COLUMNS)),
    "npz": (log_file, imported(sound.NEORL_COLUMNS)),
    "csv": (imported(sound.COLUMNS),),
    "json lines": (imported(sound.COLUMNS),),
    "parquet": (imported(sound.COLUMNS),),
    "minari metadata": (minari,),
    "minari hdf5": (minari,),
    "run record": (run_folder,),
    "run checkpoint": (run_folder,),
    "toml settings": (settings,),
    "toml candidates": (candidates,),
    "toml mapping": (mapping,),
}
