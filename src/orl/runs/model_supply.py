"""Where a policy's model comes from - named, found or fitted - and the copy that its run folder keeps."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from orl.algorithms import ALGORITHMS
from orl.data.episodes import Dataset
from orl.errors import DataError, UsageError
from orl.files import TEMPORARY, publish_folder, saving
from orl.locking import LOCK
from orl.runs.config import FitRunConfig, PolicyRunConfig, SequenceRunConfig
from orl.runs.directory import load_run
from orl.runs.divergence import OnDivergence
from orl.runs.fit_model import FittedModel, fit_model, load_model
from orl.runs.fit_sequence import FittedSequence, fit_sequence, load_sequence
from orl.runs.fits import find_fit, fit_path
from orl.runs.reporter import Reporter


def model_for(
    dataset: Dataset,
    config: PolicyRunConfig,
    root: Path,
    model: str | Path | None,
    reporter: Reporter,
    on_divergence: OnDivergence = "stop",
) -> FittedModel:
    """The ensemble for a policy: named, found or fitted."""
    fit_config = FitRunConfig(config.dataset, config.model_seed, config.model, config.history)
    fitted = supply_model(dataset, fit_config, root, model, "ensemble", reporter, on_divergence)
    assert isinstance(fitted, FittedModel)
    return fitted


def must_be_fitted(dataset: Dataset, config: PolicyRunConfig, root: Path) -> bool:
    """Whether a run without `--model` would begin with the fit of one."""
    fit_config = FitRunConfig(config.dataset, config.model_seed, config.model, config.history)
    return ALGORITHMS[config.algorithm].needs_model and find_fit("ensemble", root, dataset, fit_config) is None


def supply_model(
    dataset: Dataset,
    config: FitRunConfig | SequenceRunConfig,
    root: Path,
    model: str | Path | None,
    kind: str,
    reporter: Reporter,
    on_divergence: OnDivergence = "stop",
) -> FittedModel | FittedSequence:
    """The model of `kind` named by `model`, found below `root` for exactly these settings and data, or fitted there.

    Raises:
        DataError: the model named is of another kind or of other data, or not finished.
    """
    load, fit = SUPPLIES[kind]
    if model is not None:
        check_model(dataset, Path(model), kind)
        return load(model)
    found = find_fit(kind, root, dataset, config)
    if found is None:
        found = fit_path(kind, root, dataset, config)
        reporter.message(f"no {kind} fitted for this dataset and these settings: fitting one into {found}")
        fit(dataset, config, found, on_divergence=on_divergence, reporter=reporter)
    else:
        reporter.message(f"using the {kind} in {found}")
    return load(found)


SUPPLIES: dict[str, tuple[Any, Any]] = {
    "ensemble": (load_model, fit_model),
    "transformer": (load_sequence, fit_sequence),
}


def check_model(dataset: Dataset, path: Path, kind: str) -> None:
    """DataError unless the run at `path` is a finished fit of `kind` to this very data."""
    run = load_run(path, kind)
    if run.record.get("fingerprint") != dataset.fingerprint:
        raise DataError(
            f"{path} was fitted on {run.record['dataset']['name']}, another dataset than {dataset.name}"
            " (fingerprints differ); fit one on this data, or leave --model out"
        )
    if not run.finished:
        raise DataError(f"{path} is not finished; run its fit-model command again to complete it")


def refuse_other_history(model: str | Path, history: int) -> None:
    """UsageError unless the ensemble in the run folder `model` sees so many past observations and actions."""
    fitted = load_run(Path(model), "ensemble").history
    if fitted != history:
        raise UsageError(
            f"{model} was fitted with history {fitted}, not {history}; leave --history out to use the model's own"
        )


def model_identity(fitted: FittedModel | FittedSequence | None) -> str | None:
    """A digest of the model's own settings and data, so that a resumed run meets the same model."""
    return None if fitted is None else params_digest(fitted.params)


def params_digest(params: Any) -> str:
    """Sixteen hex digits that name the parameters in a tree."""
    leaves = jax.tree.leaves(params)
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()[:16]


def keep_model(fitted: FittedModel | FittedSequence, target: Path) -> None:
    """Copy a fitted model into another run's folder, which must stand on its own."""
    keep_run(fitted.path, target)


def keep_run(source: Path, target: Path, *without: str, finish: Callable[[Path], None] = lambda copy: None) -> None:
    """Copy a run into another one, without its training state, its evaluations, its exports and what trackers left.

    Args:
        without: names of further files and folders to leave out, wherever they are.
        finish: what is done to the copy before it stands at its place.

    Raises:
        DataError: the run holds a link, which would bring a file from elsewhere into the copy.
    """
    if (target / "run.json").exists():
        return
    _refuse_links(source)
    temporary = target.with_name(f"{TEMPORARY}{target.name}")
    left_out = shutil.ignore_patterns(
        "state", "timings.jsonl", "eval", "export", "tracking", LOCK, f"{TEMPORARY}*", *without
    )
    with saving(target):
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(source, temporary, ignore=left_out)
        finish(temporary)
        publish_folder(temporary, target)


def _refuse_links(folder: Path) -> None:
    for inner, folders, files in os.walk(folder):
        for path in (Path(inner) / name for name in (*folders, *files)):
            if path.is_symlink():
                raise DataError(f"{path} is a link to elsewhere; refused, a run folder holds its own files")
