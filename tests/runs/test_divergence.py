"""What a run does about a tensor that is not finite: words, settings, and how far it goes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from orl.errors import DivergedError, UsageError, is_out_of_memory
from orl.finite import NotFinite
from orl.runs.checkpoints import Checkpoints
from orl.runs.config import PolicyRunConfig, resolve_fit, resolve_policy, resolve_sequence
from orl.runs.directory import RunDirectory
from orl.runs.divergence import Divergence, divergence, go_back, lowered, rate_scale, setting_to_lower, with_rollback
from orl.runs.memory_plan import Line, MemoryPlan
from orl.runs.reporter import Reporter


def config_of(algorithm: str, **agent: Any) -> PolicyRunConfig:
    return resolve_policy("any.npz", algorithm, {"agent": agent})[0]


@pytest.mark.parametrize(
    ("tensor", "algorithm", "setting"),
    [
        ("actor_loss", "bc", "agent.actor_learning_rate (0.25 here)"),
        ("gradient of actor/Dense_0/bias", "mopo", "agent.actor_learning_rate (0.25 here)"),
        ("critic_loss", "cql", "agent.critic_learning_rate (0.125 here)"),
        ("mean squared gradient of critic/Dense_0/kernel", "cql", "agent.critic_learning_rate (0.125 here)"),
        ("target_critic/Dense_0/kernel", "mobile", "agent.critic_learning_rate (0.125 here)"),
        ("q", "rebrac", "agent.critic_learning_rate (0.125 here)"),
        ("alpha", "mbpo", "agent.alpha_learning_rate (0.5 here)"),
        ("conservative_gap", "combo", "agent.conservative_weight (3 here)"),
        ("rollout_reward", "morel", "agent.rollout_length (7 here)"),
        ("penalty", "mopo", "agent.rollout_length (7 here)"),
        ("critic_loss", "bc", "the learning rates"),
    ],
)
def test_the_setting_that_shrinks_a_tensor_is_named_with_its_value(tensor: str, algorithm: str, setting: str) -> None:
    values = {"actor_learning_rate": 0.25, "critic_learning_rate": 0.125, "alpha_learning_rate": 0.5}
    values |= {"conservative_weight": 3.0, "rollout_length": 7}
    bare = config_of(algorithm)
    known = {key: value for key, value in values.items() if hasattr(bare.agent, key)}
    config = replace(bare, agent=replace(bare.agent, **known))
    assert setting_to_lower(tensor, config) == setting


def test_the_setting_of_a_model_is_its_learning_rate() -> None:
    ensemble = resolve_fit("any.npz", {"model": {"learning_rate": 0.5}})[0]
    sequence = resolve_sequence("any.npz", {"model": {"learning_rate": 0.25}})[0]
    assert setting_to_lower("nll of member 3", ensemble) == "model.learning_rate (0.5 here)"
    assert setting_to_lower("gradient of blocks_0/qkv/bias", sequence) == "model.learning_rate (0.25 here)"


@pytest.mark.parametrize(
    ("epoch", "update", "said", "good", "step"),
    [
        (3, 4, "critic_loss of seed 7 is not finite at update 25 (epoch 3)", 2, 25),
        (1, 0, "critic_loss of seed 7 is not finite at update 1 (epoch 1)", 0, 1),
        (3, -1, "critic_loss of seed 7 is not finite in checkpoint 2", 1, 20),
        (1, -1, "critic_loss of seed 7 is not finite before the first update", -1, 0),
    ],
)
def test_updates_are_counted_from_one_over_the_whole_run(
    epoch: int, update: int, said: str, good: int, step: int
) -> None:
    error = divergence(NotFinite(0, update, "critic_loss"), epoch, 10, config_of("cql"), 5.0, 7)
    assert (str(error), error.good, error.step, error.tensor) == (said, good, step, "critic_loss")
    assert error.remedy == "lower agent.critic_learning_rate (0.0003 here)"
    assert error.exit_code == 4


def test_rewards_that_cannot_be_squared_are_what_to_change() -> None:
    error = divergence(NotFinite(0, 4, "critic_loss"), 3, 10, config_of("cql"), 1e30, 7)
    assert error.remedy == "the largest |reward| in the data is 1e+30, too large to be squared: scale the rewards"


def test_every_learning_rate_is_lowered_and_nothing_else() -> None:
    config = config_of("combo", actor_learning_rate=0.5, critic_learning_rate=0.25, alpha_learning_rate=0.125)
    scaled = lowered(config, 0.1)
    assert (scaled.agent.actor_learning_rate, scaled.agent.critic_learning_rate) == (0.05, 0.025)
    assert (scaled.agent.alpha_learning_rate, scaled.agent.lagrange_learning_rate) == (0.0125, pytest.approx(3e-5))
    assert scaled.model.learning_rate == pytest.approx(config.model.learning_rate * 0.1)
    assert scaled.agent.discount == config.agent.discount
    assert lowered(config, 1.0) == config


def run_with(tmp_path: Path, *steps: int) -> RunDirectory:
    """A run folder whose checkpoints are there after these epochs."""
    run = RunDirectory(tmp_path, {"schema": 1, "kind": "policy", "status": "running"})
    checkpoints = Checkpoints(run.checkpoints)
    for step in steps:
        checkpoints.save(step, {"state": {"x": jnp.asarray(float(step))}})
    checkpoints.close()
    return run


def steps_in(run: RunDirectory) -> list[int]:
    return sorted(int(folder.name) for folder in run.checkpoints.iterdir() if folder.name.isdigit())


@pytest.mark.parametrize(
    ("steps", "good", "target", "left"),
    [
        ((10, 20), 20, 20, [10, 20]),
        ((20, 23), 24, 20, [20]),  # 23 is where a signal stopped it: an uninterrupted run would not have it
        ((22, 23), 24, 23, [22, 23]),
        ((10, 20), 19, 10, [10]),  # 20 is poisoned
        ((20, 23), 19, 0, []),
        ((), 4, 0, []),
    ],
)
def test_a_run_goes_back_to_the_newest_good_checkpoint_of_its_schedule(
    steps: tuple[int, ...], good: int, target: int, left: list[int], tmp_path: Path
) -> None:
    run = run_with(tmp_path, *steps)
    assert go_back(run, good, 10) == target
    assert steps_in(run) == left


class Work:
    """Diverges so often, then returns "done"; remembers the scales it was given."""

    def __init__(self, failures: int) -> None:
        self.failures, self.scales = failures, []

    def __call__(self, scale: float) -> str:
        self.scales.append(scale)
        if len(self.scales) <= self.failures:
            raise Divergence("q is not finite at update 25", 2, "q", 25, "lower it")
        return "done"


def test_stopping_is_the_default_way_and_says_the_other(tmp_path: Path) -> None:
    run, work = run_with(tmp_path, 1, 2), Work(1)
    with pytest.raises(DivergedError) as caught:
        with_rollback(run, "stop", 1, Reporter(), work)
    assert str(caught.value) == (
        f"diverged: q is not finite at update 25; the checkpoints in {run.path} are kept; lower it,"
        " or go on with lower learning rates: --on-divergence rollback"
    )
    assert (work.scales, run.record["status"], steps_in(run)) == ([1.0], "diverged", [1, 2])


def test_a_rollback_happens_once_and_is_on_record(tmp_path: Path) -> None:
    run, work = run_with(tmp_path, 1, 2), Work(1)
    assert with_rollback(run, "rollback", 1, Reporter(), work) == "done"
    assert work.scales == [1.0, 0.1]
    told = {"epoch": 2, "learning_rate_scale": 0.1, "tensor": "q", "step": 25}
    assert run.record["rollback"] == told
    # a process that goes on with this run lowers its rates too, whatever it was told
    again = Work(0)
    assert with_rollback(run, "stop", 1, Reporter(), again) == "done"
    assert again.scales == [0.1]


def test_a_second_divergence_stops(tmp_path: Path) -> None:
    run, work = run_with(tmp_path, 1, 2), Work(2)
    with pytest.raises(DivergedError) as caught:
        with_rollback(run, "rollback", 1, Reporter(), work)
    assert "although the learning rates were lowered after epoch 2; the checkpoints" in str(caught.value)
    assert "--on-divergence" not in str(caught.value)
    assert (work.scales, run.record["status"], rate_scale(run)) == ([1.0, 0.1], "diverged", 0.1)


def test_other_errors_pass(tmp_path: Path) -> None:
    def work(scale: float) -> None:
        raise UsageError("another matter")

    with pytest.raises(UsageError, match="another matter"):
        with_rollback(run_with(tmp_path), "rollback", 1, Reporter(), work)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12345 bytes")]
)
def test_out_of_memory_becomes_the_plan(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    monkeypatch.setattr("orl.runs.machine.host_memory", lambda: 5_000_000_000)
    if isinstance(error, RuntimeError):
        error = jax.errors.JaxRuntimeError(str(error))
    lines = (Line("rollout buffer", 2_000_000_000, per_seed=True, lower="agent.rollout_batch"), Line("networks", 1000))
    with pytest.raises(UsageError) as caught, MemoryPlan("training mopo", lines, seeds=2).explained():
        raise error
    assert str(caught.value) == (
        "out of memory: training mopo needs about 4 GB, 4 GB of it for rollout buffer; this machine has 5 GB;"
        " lower agent.rollout_batch, the number of seeds"
    )
    assert caught.value.exit_code == 2


def test_other_errors_of_the_device_are_not_called_a_lack_of_memory() -> None:
    import jax

    assert not is_out_of_memory(jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes"))
    with pytest.raises(jax.errors.JaxRuntimeError), MemoryPlan("work", (Line("x", 1),)).explained():
        raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes")
