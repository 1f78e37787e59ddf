"""`orl` where something is not finite: what it says, what it keeps, how it goes on, and that it does so again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, settings

import orl as package
from orl.agents.actor import actor_optimiser
from orl.algorithms import bc
from orl.errors import Interrupted
from orl.runs import train_policy as training
from orl.runs.checkpoints import Checkpoints

QUIET = ["train.eval_every=0", "train.eval_episodes=1", "train.checkpoint_every=1"]
CQL = ["train-policy", "-a", "cql", *settings(TINY_AGENT, QUIET, ["agent.actions_per_source=2"])]
BC = ["train-policy", "-a", "bc", *settings(TINY_AGENT, QUIET)]
TOO_MUCH = 1.0  # a learning rate of bc that `breakable` does not stand, and a tenth of which it does


def line_of(done: Any, code: int) -> str:
    """The last line that `orl` said; a divergence is one line."""
    assert (done.code, "Traceback" in done.err) == (code, False), done.err
    return [line for line in done.err.splitlines() if line.startswith("orl: ")][-1]


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps(run: Path) -> list[int]:
    return sorted(int(folder.name) for folder in (run / "checkpoints").iterdir() if folder.name.isdigit())


def items_of(run: Path, step: int) -> dict[str, Any]:
    """Every item of a checkpoint as it lies on disk."""
    names = [folder.name for folder in (run / "checkpoints" / str(step)).iterdir() if folder.is_dir()]
    kinds = {name: ocp.args.StandardRestore() for name in names}
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        found = orbax.restore((run / "checkpoints" / str(step)).absolute(), args=ocp.args.Composite(**kinds))
    return {name: found[name] for name in names}


def bytes_of(run: Path, step: int) -> dict[str, bytes]:
    leaves = jax.tree_util.tree_leaves_with_path(items_of(run, step))
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def poison(run: Path, step: int, place: str, index: tuple[int, ...]) -> None:
    """Put a NaN into one parameter of a checkpoint's state, and have the run go on from it."""

    def broken(path: Any, leaf: Any) -> Any:
        leaf = np.array(leaf)
        if "".join(f"/{getattr(key, 'key', getattr(key, 'idx', ''))}" for key in path).endswith(place):
            leaf[index] = np.nan
            hit.append(path)
        return leaf

    hit: list[Any] = []
    items = items_of(run, step)
    items["state"] = jax.tree_util.tree_map_with_path(broken, items["state"])
    assert len(hit) == 1
    shutil.rmtree(run / "checkpoints" / str(step))
    checkpoints = Checkpoints(run / "checkpoints")
    checkpoints.save(step, items)
    checkpoints.close()
    (run / "run.json").write_text(json.dumps(record(run) | {"status": "interrupted"}))


def longer(run: Path, total: int, **rates: float) -> Path:
    """The settings of a run, that it may go on to `total` steps, at other learning rates."""
    config = run / "config.toml"
    text = config.read_text().replace("\nsteps = 20\n", f"\nsteps = {total}\n")
    for name, rate in rates.items():
        text = text.replace(f"{name} = 0.0003", f"{name} = {rate}")
    config.write_text(text)
    (run / "run.json").write_text(json.dumps(record(run) | {"status": "interrupted"}))
    return config


def test_a_planted_reward_ends_with_4_and_names_loss_update_and_seed(
    orl: Callable[..., Any], write_log: Callable[..., Path], plain_log: Path, tmp_path: Path
) -> None:
    """Finite, so that reading passes it, but its square is not; of 1600 rows, where 16 a batch are drawn."""
    with np.load(plain_log) as log:
        reward = log["reward"].copy()
    reward[700:720] = 1e38
    log = write_log(tmp_path / "log.npz", reward=reward)
    run = tmp_path / "run"
    line = line_of(orl(*CQL, "-d", log, "--seeds", "3,5", "--steps", 100, "--out", run), 4)
    seed, update = (int(line.split(word)[1].split()[0]) for word in ("of seed ", "at update "))
    assert line.startswith(f"orl: diverged: critic_loss of seed {seed} is not finite at update {update} (epoch ")
    assert line.endswith(
        f"the checkpoints in {run} are kept; the largest |reward| in the data is 1e+38, too large to be squared: scale"
        " the rewards, or go on with lower learning rates: --on-divergence rollback"
    )
    assert seed in (3, 5)
    assert 1 <= update <= 100
    good = (update - 1) // 10  # whole epochs before
    assert record(run)["status"] == "diverged"
    assert [row["step"] for row in rows(run)] == [10 * epoch for epoch in range(1, good + 1) for _ in range(2)]
    assert steps(run) == list(range(1, good + 1))[-2:]


def test_a_poisoned_checkpoint_is_named_and_the_one_before_it_loads(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["train-policy", "-a", "rebrac", *settings(TINY_AGENT, QUIET), "-d", plain_log, "--out", run]
    assert orl(*words, "--steps", 20).code == 0
    good = bytes_of(run, 1)
    config = longer(run, 30)
    poison(run, 2, "/critic/params/VmapMLP_0/Dense_0/kernel", (0, 1, 2, 3))
    line = line_of(orl("train-policy", "--config", config, "--out", run), 4)
    assert line.startswith("orl: diverged: critic/Dense_0/kernel of seed 0 is not finite in checkpoint 2; ")
    assert "lower agent.critic_learning_rate (0.0" in line
    assert steps(run) == [1, 2]
    assert bytes_of(run, 1) == good
    # the rollback passes over it, and comes to the end
    done = orl("train-policy", "--config", config, "--out", run, "--on-divergence", "rollback", "--json")
    assert done.code == 0, done.err
    assert done.document["rollback"] == {
        "epoch": 1,
        "learning_rate_scale": 0.1,
        "tensor": "critic/Dense_0/kernel",
        "step": 20,
    }
    assert np.isfinite(package.load_policy(run)([1.0, 0.0, 0.0])).all()
    assert [row.get("learning_rate_scale") for row in rows(run)] == [None, 0.1, 0.1]


@pytest.fixture
def breakable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps above a half turn into NaN: what overflows by itself depends on the compiler. Adam's are its rate at most,
    but for a factor of three."""

    def optimiser(config: Any, total_updates: int) -> optax.GradientTransformation:
        adam = actor_optimiser(config, total_updates)

        def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            steps, state = adam.update(grads, state, params)
            return jax.tree.map(lambda step: jnp.where(jnp.abs(step) > 0.5, jnp.nan, step), steps), state

        return optax.GradientTransformation(adam.init, update)

    monkeypatch.setattr(bc, "actor_optimiser", optimiser)


@pytest.mark.usefixtures("breakable")
def test_a_rollback_goes_on_at_a_tenth_and_comes_to_the_same_bytes_however_it_is_reached(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, twice; after a stop with 4; and interrupted after the rollback, resumed without the option."""
    runs = {name: tmp_path / name for name in ("whole", "again", "stopped", "interrupted")}
    configs = {}
    for name, run in runs.items():
        assert orl(*BC, "-d", plain_log, "--seeds", "0:2", "--steps", 20, "--out", run).code == 0
        configs[name] = longer(run, 60, actor_learning_rate=TOO_MUCH)

    def go_on(name: str, *more: object) -> Any:
        return orl("train-policy", "--config", configs[name], "--out", runs[name], "--json", *more)

    for name in ("whole", "again"):
        assert go_on(name, "--on-divergence", "rollback").code == 0
    line = line_of(go_on("stopped"), 4)
    assert f"agent.actor_learning_rate ({TOO_MUCH:g} here)" in line
    assert "actor_loss of seed " in line
    assert go_on("stopped", "--on-divergence", "rollback").code == 0

    original = training.one_epoch

    def stop_after_four(state: Any, epoch: int) -> float:
        if epoch == 4 and state.config.agent.actor_learning_rate < TOO_MUCH:
            raise Interrupted("as by a signal")
        return original(state, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(training, "one_epoch", stop_after_four)
        assert go_on("interrupted", "--on-divergence", "rollback").code == 75
    done = go_on("interrupted")
    assert done.code == 0

    told = record(runs["whole"])["rollback"]
    assert (told["epoch"], told["learning_rate_scale"], told["tensor"]) == (2, 0.1, "actor_loss")
    assert 20 < told["step"] <= 30
    assert [row.get("learning_rate_scale") for row in rows(runs["whole"])] == [None] * 4 + [0.1] * 8
    assert [row["step"] for row in rows(runs["whole"])] == [step for step in range(10, 70, 10) for _ in range(2)]
    assert steps(runs["whole"]) == [5, 6]
    for run in runs.values():
        assert record(run)["rollback"] == told
        assert bytes_of(run, 6) == bytes_of(runs["whole"], 6)
        assert (run / "metrics.jsonl").read_bytes() == (runs["whole"] / "metrics.jsonl").read_bytes()
    assert done.document["rollback"] == told


@pytest.mark.usefixtures("breakable")
def test_a_rollback_without_a_checkpoint_begins_anew(orl: Callable[..., Any], plain_log: Path, tmp_path: Path) -> None:
    """The outcome is that of the lower rate from the start."""
    words = [*BC, "-d", plain_log, "--seed", 1, "--steps", 20, "--out"]
    done = orl(*words, tmp_path / "a", "--set", f"agent.actor_learning_rate={TOO_MUCH}", "--on-divergence", "rollback")
    assert done.code == 0, done.err
    assert "going back to epoch 0" in done.err
    assert record(tmp_path / "a")["rollback"]["epoch"] == 0
    assert orl(*words, tmp_path / "b", "--set", f"agent.actor_learning_rate={TOO_MUCH * 0.1}").code == 0
    assert bytes_of(tmp_path / "a", 2) == bytes_of(tmp_path / "b", 2)


def test_a_member_that_diverges_is_named(orl: Callable[..., Any], fitted: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted["run"], run)
    poison(run, 2, "/params/net/params/Dense_0/kernel", (1, 2, 3))
    config = run / "config.toml"
    config.write_text(config.read_text().replace("max_epochs = 2", "max_epochs = 4"))
    line = line_of(orl("fit-model", "--config", config, "--out", run), 4)
    assert line.startswith("orl: diverged: Dense_0/kernel of member 1 is not finite in checkpoint 2; ")
    assert "lower model.learning_rate (0.001 here)" in line
    assert steps(run) == [2]


def test_a_fit_that_no_tenth_helps_ends_with_4(orl: Callable[..., Any], plain_log: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["fit-model", "-d", plain_log, "--out", run, *settings(TINY_MODEL, ["model.learning_rate=1e10"])]
    line = line_of(orl(*words, "--on-divergence", "rollback"), 4)
    assert line.startswith("orl: diverged: nll of member ")
    assert "(epoch 1), although the learning rates were lowered after epoch 0; the checkpoints in" in line
    assert "lower model.learning_rate (1e+09 here)" in line
    assert record(run)["status"] == "diverged"
    assert not (run / "metrics.jsonl").exists()


@pytest.mark.slow
def test_a_transformer_goes_back_too(orl: Callable[..., Any], fitted_sequence: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted_sequence["run"], run)
    assert steps(run) == [1, 2]
    poison(run, 2, "/net/params/blocks_0/qkv/kernel", (2, 3))
    config = run / "config.toml"
    config.write_text(config.read_text().replace("\nsteps = 20\n", "\nsteps = 30\n"))
    words = ["fit-model", "-k", "transformer", "--config", config, "--out", run, "--on-divergence", "rollback"]
    done = orl(*words, "--json")
    assert done.code == 0, done.err
    told = {"epoch": 1, "learning_rate_scale": 0.1, "tensor": "blocks_0/qkv/kernel"}
    assert {key: done.document["rollback"][key] for key in told} == told
    assert [row.get("learning_rate_scale") for row in rows(run)] == [None, 0.1, 0.1]


def test_values_beyond_the_rewards_are_told_once_before_they_diverge(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["train-policy", "-a", "rebrac", "-d", plain_log, "--steps", 50, "--out", run]
    words += settings(TINY_AGENT, QUIET, ["agent.critic_learning_rate=1000.0", "agent.critic_layer_norm=false"])
    done = orl(*words, "--json")
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if line.startswith("orl: note: ")]
    beyond = [row for row in rows(run) if "q_over_allowed" in row]
    assert len(told) == 1
    assert len(beyond) > 1
    first = beyond[0]
    assert f"by step {first['step']} the critics of seed 0 value their rows at " in told[0]
    assert "lower agent.critic_learning_rate (1000 here)" in told[0]
    with np.load(plain_log) as log:
        largest = float(np.abs(log["reward"]).max())
    high, low = largest / (1 - 0.99), -(largest + 4 * 0.01) / (1 - 0.99)  # one dimension of action, coefficient 0.01
    allowed = high if first["q"] > 0 else low
    assert first["q_over_allowed"] == pytest.approx(first["q"] / allowed, rel=1e-6)
    assert all(row["q_over_allowed"] > 2.0 for row in beyond)
    assert all(2.0 * low <= row["q"] <= 2.0 * high for row in rows(run) if row not in beyond)
    warned = done.document["value_warning"]
    assert (warned["step"], warned["seed"], warned["q"]) == (first["step"], 0, first["q"])
    assert warned["allowed"] == pytest.approx(allowed, rel=1e-6)


def test_running_out_of_memory_is_one_line_with_the_plan(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes.")

    monkeypatch.setattr(training, "one_epoch", exhausted)
    done = orl(*BC, "-d", plain_log, "--steps", 20, "--out", tmp_path / "run")
    line = line_of(done, 2)
    assert line.startswith("orl: out of memory: training bc needs about ")
    assert "; this machine has " in line
    assert "agent.hidden" in line.split("; lower ")[1]
    monkeypatch.undo()
    assert orl(*BC, "-d", plain_log, "--steps", 20, "--out", tmp_path / "run").code == 0


def test_running_out_of_memory_elsewhere_is_one_line_too(
    orl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")):

        def exhausted(*arguments: Any, error: Exception = error, **more: Any) -> Any:
            raise error

        monkeypatch.setattr("orl.data.catalog.load", exhausted)
        line = line_of(orl("data", "check", "any.npz"), 2)
        assert "out of memory; where the command has --dry-run, it shows what takes how much" in line


def test_models_are_fitted_with_the_same_option(
    orl: Callable[..., Any], plain_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy's command that fits its model first hands --on-divergence on."""
    given = []
    real = training.model_for

    def noted(*arguments: Any) -> Any:
        given.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(training, "model_for", noted)
    words = ["train-policy", "-a", "mbpo", *settings(TINY_AGENT, QUIET, TINY_MODEL, TINY_ROLLOUT), "-d", plain_log]
    words += ["--set", "model.learning_rate=1e10", "--steps", 10, "--runs", tmp_path, "--on-divergence", "rollback"]
    line = line_of(orl(*words), 4)
    assert given == ["rollback"]
    assert "although the learning rates were lowered after epoch 0" in line
