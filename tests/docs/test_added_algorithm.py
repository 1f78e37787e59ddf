"""The worked example of docs/add-an-algorithm.md: its numbers, and that the table is all it takes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from snippets import ROOT
from tiny_settings import TINY_AGENT, settings

from orl.agents.actor import make_act, make_actor
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Problem
from orl.data.normalise import identity_normaliser
from orl.networks import Critics
from orl.types import Batch, NextAction, Transition


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("td3_bc", ROOT / "docs" / "examples" / "td3_bc.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["td3_bc"] = module
    spec.loader.exec_module(module)
    return module


def test_the_weight_is_the_papers_loss_over_alpha(example: ModuleType) -> None:
    """-alpha Q / mean |Q| + mean over 4 dimensions of the squares, over alpha = 2.5: 1 / (2.5 * 4)."""
    assert example.cloning_weight(2.5, 4) == pytest.approx(0.1)


def test_an_update_reports_the_loss_of_the_paper(example: ModuleType) -> None:
    """By an independent reckoning from the networks: the actor's loss before its step, at alpha 2."""
    config = example.Td3BcConfig(hidden=(8,), batch_size=6, alpha=2.0, critic_learning_rate=1e-12)
    algorithm = example.build(config, Problem(3, 2, 10))
    state = algorithm.init(jax.random.key(0), identity_normaliser(3))
    rng = np.random.default_rng(1)
    obs = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    action = jnp.asarray(rng.uniform(-1, 1, (6, 2)), jnp.float32)
    rows = Transition(obs, action, jnp.ones(6), obs + 0.1, jnp.zeros(6))
    none = jax.tree.map(lambda x: x[:0], rows)
    batch = Batch(rows, none, NextAction(action, jnp.ones(6)), ())
    _, metrics = algorithm.update(jax.random.key(2), state, batch, ())
    played = make_act(make_actor(config, 2))(state.policy, None, obs)
    q = np.min(Critics((8,), 2, False).apply(state.critic, obs, played), axis=0)
    paper = np.mean(-2.0 * q / np.mean(np.abs(q)) + np.mean((np.asarray(played) - np.asarray(action)) ** 2, axis=-1))
    assert float(metrics["actor_loss"]) == pytest.approx(float(paper) / 2.0, rel=1e-4)


def test_an_entry_in_the_table_is_trained_and_loaded_by_the_program(
    example: ModuleType, orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orl import load_policy

    monkeypatch.setitem(ALGORITHMS, "td3-bc", example.ENTRY)
    words = ["train-policy", "-a", "td3-bc", "-d", pendulum_log, "--steps", 20, "--out", tmp_path / "run", "--json"]
    done = orl(*words, *settings(TINY_AGENT, ["agent.alpha=1.5"]))
    assert done.code == 0, done.err
    assert done.document["algorithm"] == "td3-bc"
    assert "alpha = 1.5" in (tmp_path / "run" / "config.toml").read_text()
    assert abs(load_policy(tmp_path / "run")([1.0, 0.0, 0.0])[0]) <= 2.0
    refused = orl(*words, "--set", "agent.alhpa=1")
    assert (refused.code, "did you mean alpha?" in refused.err) == (2, True)
