"""Guards of training: --force never eats the model it was given, and a named model's settings are the ones used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from orl.data.catalog import load
from orl.errors import DataError, UsageError
from orl.runs.config import resolve_policy
from orl.runs.directory import load_run
from orl.runs.policy import load_policy, rebuild
from orl.runs.train_policy import train_policy, with_settings_of


def test_force_refuses_to_delete_the_model_it_was_given(mopo: dict[str, Any], tmp_path: Path) -> None:
    """`--force --out RUN --model RUN/model` would train from a model that is gone."""
    path = tmp_path / "run"
    shutil.copytree(mopo["run"], path)
    _, config = rebuild(load_run(path))
    with pytest.raises(UsageError, match="would delete"):
        train_policy(load(config.dataset), config, path, model=path / "model", force=True)
    assert (path / "model" / "run.json").exists()
    assert (path / "run.json").exists()


def test_the_settings_of_a_named_model_are_the_ones_recorded(mopo: dict[str, Any]) -> None:
    """With --model the run's own model settings, held-out episodes included, are those of that model."""
    model = Path(mopo["run"]) / "model"
    config, _ = resolve_policy("any.npz", "mopo", {"model": {"members": 9, "holdout_fraction": 0.5}})
    used = with_settings_of(model, config)
    assert used.model == rebuild(load_run(Path(mopo["run"])))[1].model
    assert used.model.members != 9
    assert with_settings_of(None, config) == config
    with pytest.raises(UsageError, match="bc uses no model"):
        with_settings_of(model, resolve_policy("any.npz", "bc", {})[0])


def test_a_damaged_checkpoint_is_said_in_one_line(mopo: dict[str, Any], tmp_path: Path) -> None:
    """Resuming from a checkpoint whose files are empty names the step and the way out."""
    path = tmp_path / "run"
    shutil.copytree(mopo["run"], path)
    step = max(int(folder.name) for folder in (path / "checkpoints").iterdir() if folder.name.isdigit())
    for file in (path / "checkpoints" / str(step) / "policy").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(DataError, match=f"cannot restore checkpoint {step}"):
        load_policy(path)
