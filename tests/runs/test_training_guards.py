"""Two guards of training: a broken policy is never saved, and --force never eats the model it was given."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest

from orl.data.catalog import load
from orl.errors import DataError, DivergedError, UsageError
from orl.runs.config import resolve_policy
from orl.runs.directory import load_run
from orl.runs.policy import load_policy, rebuild
from orl.runs.train_policy import train_policy, with_settings_of
from orl.runs.training import save


@pytest.mark.parametrize(("value", "saved"), [(1.0, 1), (jnp.nan, 0), (jnp.inf, 0)])
def test_a_policy_that_is_not_finite_is_never_saved(value: float, saved: int) -> None:
    """Metrics are from before each update, so the last update of an epoch can break the parameters unseen."""
    steps: list[int] = []
    status: dict[str, str] = {}
    training: Any = SimpleNamespace(
        algorithm=SimpleNamespace(policy=lambda agent: agent),
        state=SimpleNamespace(agent={"kernel": jnp.asarray([0.0, value])}),
        best={"kernel": jnp.zeros(2)},
        best_return=jnp.zeros(1),
        run=SimpleNamespace(update=status.update),
    )
    checkpoints: Any = SimpleNamespace(save=lambda epoch, items: steps.append(epoch))
    if saved:
        save(training, checkpoints, 7)
    else:
        with pytest.raises(DivergedError, match="not finite after epoch 7"):
            save(training, checkpoints, 7)
    assert len(steps) == saved
    assert status == ({} if saved else {"status": "diverged"})


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
