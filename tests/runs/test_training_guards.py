"""Two guards of training: a broken policy is never saved, and --force never eats the model it was given."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest

from orl.data.catalog import load
from orl.errors import DivergedError, UsageError
from orl.runs.directory import load_run
from orl.runs.policy import rebuild
from orl.runs.train_policy import train_policy
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
