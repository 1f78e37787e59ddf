"""`orl predict`: how far ahead a model can be believed, open loop from held-out states, in pictures and numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset
from orl.errors import DataError, UsageError
from orl.evaluation.figures import error_figure, prediction_figure
from orl.evaluation.horizon import break_even, horizon_errors
from orl.files import saving
from orl.mdp.open_loop import open_loop
from orl.mdp.step import make_step
from orl.planning.base import History
from orl.planning.rolling import roll
from orl.runs.directory import SCHEMA, RunDirectory, config_tree, find_runs, versions, write_json
from orl.runs.fit_model import load_model
from orl.runs.fit_sequence import load_sequence
from orl.runs.fits import MODEL_KINDS, finished_fit
from orl.runs.loading import dataset_of
from orl.runs.reporter import Reporter
from orl.runs.stretches import Stretches, held_out_stretches, recent
from orl.runs.watched import rounded
from orl.sequence.sampling import Filter


def predict(
    paths: list[Path],
    *,
    steps: int = 200,
    starts: int = 16,
    draws: int = 4,
    actions: str = "logged",
    seed: int = 0,
    root: Path = Path("runs"),
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Roll models `draws` times from each of `starts` held-out states; write pictures and JSON, return the document.

    Errors are root mean squares over starts, draws and dimensions, in units of the training data's spread. A single run
    is joined by the newest model of the other kind on the same data below `root`, if there is one. With
    actions="sampled" the transformer draws them, and the ensemble is told to play the same.

    Raises:
        DataError: not fitted models, or of different data. UsageError: no transformer to draw actions, or no stretch of
            held-out data is long enough for one step.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    runs = _runs(paths, root, reporter)
    dataset = dataset_of(runs[0], reporter)
    stretches, spread = held_out_stretches(dataset, runs, steps, starts, reporter)
    key = jax.random.key(seed)
    told = stretches.actions
    if actions == "sampled":
        told = sampled_actions(runs, stretches, key)
    predictions = {}
    for run in runs:
        reporter.message(f"rolling {run.path}: {len(told)} starts x {draws} draws x {told.shape[1]} steps")
        predictions[_label(run, runs)] = roll_model(run, stretches, told, draws, key)
    document = _document(runs, dataset, stretches, predictions, spread, actions, draws)
    folder = out or runs[0].path / "predict"
    figures = {"prediction.png": prediction_figure(stretches.real, np.asarray(stretches.past.now), predictions)}
    figures["error.png"] = error_figure(document["error"], document["persistence"])
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / name)
    document |= {"files": [str(folder / name) for name in figures], "seconds": time.perf_counter() - began}
    write_json(folder / "prediction.json", document)
    return document


def roll_model(
    run: RunDirectory, stretches: Stretches, actions: NDArray[np.float32], draws: int, key: jax.Array
) -> NDArray[np.float32]:
    """[draws, N, H, O] observations that the model of a run draws after each of actions [N, H, A]."""
    repeated = jnp.tile(jnp.asarray(actions), (draws, 1, 1))
    if run.record["kind"] == "ensemble":
        model = load_model(run.path)
        step = make_step(model.ensemble, "never")
        start = jnp.tile(jnp.asarray(stretches.stacked(model.ensemble.history)), (draws, 1))
        path, _ = jax.jit(lambda *x: open_loop(step, *x))(model.params, key, start, repeated)
        return np.asarray(path)[..., : model.ensemble.obs_dim].reshape(draws, *stretches.real.shape)
    fitted = load_sequence(run.path)
    history = jax.tree.map(lambda x: jnp.tile(x, (draws, *[1] * (x.ndim - 1))), recent(fitted, stretches.past))
    keys = jax.random.split(key, len(repeated))
    # one step more than asked for: the trajectory's observations are those before each action
    longer = jnp.concatenate([repeated, repeated[:, -1:]], axis=1)

    def rolled(params: Any, keys: jax.Array, history: History, actions: jax.Array) -> jax.Array:
        horizon = actions.shape[1]
        return roll(fitted.model, params, keys, history, horizon, actions=actions, obs_keep=Filter()).trajectory.obs

    obs = jax.jit(rolled)(fitted.params, keys, history, longer)
    return np.asarray(obs)[:, 1:].reshape(draws, *stretches.real.shape)


def sampled_actions(runs: list[RunDirectory], stretches: Stretches, key: jax.Array) -> NDArray[np.float32]:
    """[N, H, A] what the behaviour might have done instead, drawn by the transformer along with its states.

    Raises:
        UsageError: no run is a transformer's.
    """
    chosen = [run for run in runs if run.record["kind"] == "transformer"]
    if not chosen:
        raise UsageError("--actions sampled needs a transformer to draw them; name one beside the ensemble")
    fitted = load_sequence(chosen[0].path)
    history, horizon = recent(fitted, stretches.past), stretches.actions.shape[1]
    keys = jax.random.split(jax.random.fold_in(key, 1), len(stretches.actions))

    def drawn(params: Any, keys: jax.Array, history: History) -> jax.Array:
        return roll(fitted.model, params, keys, history, horizon, obs_keep=Filter()).trajectory.action

    return np.asarray(jax.jit(drawn)(fitted.params, keys, history))


def _document(
    runs: list[RunDirectory],
    dataset: Dataset,
    stretches: Stretches,
    predictions: dict[str, NDArray[np.float32]],
    spread: NDArray[np.float64],
    actions: str,
    draws: int,
) -> dict[str, Any]:
    still = np.broadcast_to(np.asarray(stretches.past.now)[:, None], stretches.real.shape)
    persistence = horizon_errors(still, stretches.real, spread)
    errors = {name: horizon_errors(each, stretches.real, spread) for name, each in predictions.items()}
    return {
        "schema": SCHEMA,
        "run": [str(run.path) for run in runs],
        "kind": "prediction",
        "dataset": dataset.name,
        "actions": actions,
        "steps": stretches.real.shape[1],
        "starts": len(stretches.real),
        "draws": draws,
        "error": {name: _plain(each) for name, each in errors.items()},
        "persistence": _plain(persistence),
        "break_even": {name: break_even(each, persistence) for name, each in errors.items()},
        "example": example_of(stretches, predictions),
        "versions": versions(),
    }


def example_of(stretches: Stretches, predictions: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    """The first start [O], what followed [T, O] and what each draw of a model said of it [D, T, O], to four digits."""
    drawn = {name: rounded(each[:, 0]) for name, each in predictions.items()}
    return {
        "start": rounded(np.asarray(stretches.past.now)[0]),
        "real": rounded(stretches.real[0]),
        "predicted": drawn,
    }


def _plain(x: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in x]


def _runs(paths: list[Path], root: Path, reporter: Reporter) -> list[RunDirectory]:
    """The runs named, finished and of one dataset; and a model of the other kind beside a single one."""
    runs = [finished_fit(path) for path in paths]
    fingerprint = runs[0].record["fingerprint"]
    for run in runs[1:]:
        if run.record["fingerprint"] != fingerprint:
            raise DataError(f"{run.path} was fitted to other data than {runs[0].path} (fingerprints differ)")
    if len(runs) > 1:
        return runs
    (other,) = set(MODEL_KINDS) - {runs[0].record["kind"]}
    beside = [
        run
        for run in find_runs(root)
        if run.record["kind"] == other and run.finished and run.record.get("fingerprint") == fingerprint
    ]
    if not beside:
        reporter.message(f"no {other} fitted to this data below {root} to show beside; fit one with `orl fit-model`")
        return runs
    newest = max(beside, key=lambda run: (run.path / "run.json").stat().st_mtime)
    return sorted([*runs, newest], key=lambda run: MODEL_KINDS.index(run.record["kind"]))


def model_word(run: RunDirectory) -> str:
    """What kind of model a fit is: ensemble, transformer or lstm."""
    kind = str(run.record["kind"])
    return "lstm" if kind == "transformer" and config_tree(run.path)["model"].get("arch") == "lstm" else kind


def _label(run: RunDirectory, runs: list[RunDirectory]) -> str:
    kind = model_word(run)
    return kind if sum(each.record["kind"] == run.record["kind"] for each in runs) == 1 else run.path.name
