"""Where a policy's model comes from - named, found or fitted - and the copy that its run folder keeps."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import jax
import numpy as np

from orl.data.episodes import Dataset
from orl.errors import DataError
from orl.runs.config import FitRunConfig, PolicyRunConfig
from orl.runs.directory import load_run
from orl.runs.fit_model import FittedModel, default_model_path, find_model, fit_model, load_model
from orl.runs.reporter import Reporter


def model_for(
    dataset: Dataset, config: PolicyRunConfig, root: Path, model: str | Path | None, reporter: Reporter
) -> FittedModel:
    """The model named, found or fitted."""
    if model is not None:
        run = load_run(Path(model), "ensemble")
        if run.record.get("fingerprint") != dataset.fingerprint:
            raise DataError(
                f"{model} was fitted on {run.record['dataset']['name']}, another dataset than {dataset.name}"
                " (fingerprints differ); fit one on this data, or leave --model out"
            )
        if not run.finished:
            raise DataError(f"{model} is not finished; run its fit-model command again to complete it")
        return load_model(model)
    fit_config = FitRunConfig(config.dataset, config.model_seed, config.model)
    found = find_model(root, dataset, fit_config)
    if found is None:
        found = default_model_path(root, dataset, fit_config)
        reporter.message(f"no model fitted for this dataset and these settings: fitting one into {found}")
        fit_model(dataset, fit_config, found, reporter=reporter)
    else:
        reporter.message(f"using the model in {found}")
    return load_model(found)


def model_identity(fitted: FittedModel | None) -> str | None:
    """A digest of the model's own settings and data, so that a resumed run meets the same model."""
    if fitted is None:
        return None
    leaves = jax.tree.leaves(fitted.params)
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()[:16]


def keep_model(fitted: FittedModel, target: Path) -> None:
    """Copy the model into the policy's folder, without its training state: the folder must stand on its own."""
    if (target / "run.json").exists():
        return
    temporary = target.with_name("model.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(fitted.path, temporary, ignore=shutil.ignore_patterns("state", "timings.jsonl"))
    temporary.rename(target)
