"""Runs with a history: a delayed system becomes predictable; policies and planners act by the stacks they learned."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from late_system import EFFECT, NOISE, late_system
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, settings

import orl as package
from orl.agents import behaviour_value
from orl.config import Preset
from orl.data.audit.delays import history as audit
from orl.data.catalog import load
from orl.data.history import stacked_rows, with_history
from orl.errors import UsageError
from orl.runs.config import FitRunConfig, of_ensembles, policy_config, resolve_policy
from orl.runs.directory import load_run
from orl.runs.fit_model import fit_model, load_model
from orl.runs.fits import find_fit
from orl.runs.loading import load_split, transitions
from orl.runs.memory_needs import ensemble_plan, policy_plan
from orl.runs.memory_plan import tree_bytes
from orl.runs.policy import Policy, run_spec
from orl.runs.reporter import Reporter
from orl.runs.stretches import held_out_stretches
from orl.runs.train_policy import with_settings_of
from orl.runs.yardstick import find_bc
from orl.types import Spec

STATE = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 5.0]], np.float32)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """XLA compiles quickly rather than well, for these programs run for a moment and take longer to compile."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


@pytest.mark.slow
def test_with_its_delay_known_a_system_is_predicted_to_its_noise(tmp_path: Path) -> None:
    """Errors of o: NOISE with the history that the check of the log names; without, what an unseen action does."""
    model = {"members": 2, "elites": 2, "hidden": (32,), "weight_decay": (0.0, 0.0), "max_epochs": 40, "patience": 10}
    model |= {"batch_size": 64, "learning_rate": 3e-3, "standardise_targets": True}
    config = FitRunConfig("late", model=replace(FitRunConfig("late").model, **model))
    reports = {}
    (finding,) = audit(late_system())
    assert "`--history 2`" in finding.advice
    for history in (0, 2):
        document = fit_model(late_system(), replace(config, history=history), tmp_path / str(history))
        assert document["history"] == history
        reports[history] = document["holdout"]
    effect = EFFECT / np.sqrt(3)
    assert reports[0]["rmse_per_dim"][0] == pytest.approx(effect, rel=0.1)
    assert NOISE * 0.8 < reports[2]["rmse_per_dim"][0] < 3 * NOISE
    assert reports[0]["persistence_per_dim"] == reports[2]["persistence_per_dim"]
    far = {history: report["k_step"]["5"]["rmse_over_persistence"] for history, report in reports.items()}
    assert far[2] < 0.15 < 0.5 < far[0]
    fitted = load_model(tmp_path / "2")
    assert (fitted.ensemble.obs_dim, fitted.ensemble.history) == (1, 2)
    assert fitted.params.outputs.std.shape == (2,)
    assert fitted.params.inputs.std.shape == (1 + 2 * 2 + 1,)


def test_rows_on_the_device_come_with_the_datasets_history(pendulum_log: str) -> None:
    data = with_history(load(pendulum_log), 3)
    loaded = load_split(data, 0.2, 1000)
    assert loaded.train.obs.shape == loaded.train.next_obs.shape == (len(loaded.split.train_rows), 3 * 4 + 3)
    np.testing.assert_array_equal(loaded.holdout.next_obs, stacked_rows(data, loaded.split.holdout_rows)[1])
    np.testing.assert_array_equal(loaded.initial_obs[:, 12:], np.zeros((len(loaded.initial_obs), 3)))
    np.testing.assert_array_equal(loaded.initial_obs[:, 9:12], loaded.initial_obs[:, :3])


def test_a_policy_is_given_single_observations_and_sees_its_stacks() -> None:
    """Along a logged episode whose actions it plays, what the network sees are the dataset's rows, bit for bit."""
    log = with_history(replace(late_system(2, 6), action_low=np.float32([-2]), action_high=np.float32([1.5])), 2)
    seen: list[np.ndarray] = []

    def replay(params: Any, key: Any, obs: jax.Array) -> jax.Array:
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), obs)
        return params

    played = np.asarray(transitions(log, np.arange(12)).action).reshape(2, 6, 1)
    policy = Policy(replay, played[:, 0], log.spec)
    actions = log.action.reshape(2, 6, 1)
    for t in range(6):
        policy._params = played[:, t]
        out = policy(log.obs.reshape(2, 6, 1)[:, t])
        np.testing.assert_allclose(out, actions[:, t], atol=1e-6)
    jax.effects_barrier()
    expected = stacked_rows(log, np.arange(12))[0].reshape(2, 6, -1)
    np.testing.assert_allclose(np.stack(seen, axis=1), expected, atol=1e-6)
    assert seen[0].shape == (2, 5)


def test_a_reset_and_other_parameters_begin_new_episodes() -> None:
    """The action is half of the last observation: 0.5 at first, half of it later, forgotten by a reset of that row."""
    policy = Policy(lambda params, key, obs: params * obs[:, 1:2], np.float32(0.5), Spec(1, 1, (-1.0,), (1.0,), 1))
    assert policy([[1.0], [-1.0]]).tolist() == [[0.5], [-0.5]]
    assert policy([[0.2], [0.4]]).tolist() == [[0.5], [-0.5]]
    policy.reset(rows=np.array([1]))
    np.testing.assert_allclose(policy([[0.6], [0.8]]), [[0.1], [0.4]], rtol=1e-6)
    policy.use(np.float32(0.25))
    np.testing.assert_allclose(policy([[0.6], [0.8]]), [[0.15], [0.2]], rtol=1e-6)
    assert policy([0.4]).tolist() == pytest.approx([0.1])  # one episode alone
    assert policy([0.8]).tolist() == pytest.approx([0.1])


@pytest.fixture(scope="module")
def trained(orl: Callable[..., Any], pendulum_log: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a tiny mopo run with a history of two, seeds 0 and 1, below a folder of its own."""
    root = tmp_path_factory.mktemp("history")
    words = settings(TINY_MODEL, TINY_AGENT, TINY_ROLLOUT, ["agent.normalise_obs=true"])
    done = orl("train-policy", "-a", "mopo", "-d", pendulum_log, "--history", 2, "--seeds", "0:2", "--steps", 20,
               "--runs", root, "--json", *words)  # fmt: skip
    assert done.code == 0, done.err
    return done.document


def test_a_run_says_its_history_and_acts_by_it(trained: dict[str, Any]) -> None:
    """From the folder alone; the second action depends on what came before, until a reset."""
    run = load_run(Path(trained["run"]))
    assert (trained["history"], run.history, load_run(run.path / "model").history) == (2, 2, 2)
    assert run_spec(run) == Spec(3, 1, (-2.0,), (2.0,), 2)
    assert trained["dataset"]["obs_dim"] == 3
    policy = package.load_policy(run.path)
    first, second = policy(STATE), policy(STATE[::-1].copy())
    assert first.shape == (2, 1)
    policy.reset()
    np.testing.assert_array_equal(policy(STATE), first)
    policy.reset()
    assert np.abs(policy(STATE[::-1].copy()) - second).min() > 1e-4


def test_evaluation_is_of_a_policy_that_remembers(trained: dict[str, Any]) -> None:
    """Returns are those of plain episodes with one observation at a time, and the model's opinion is a number."""
    judged = package.evaluate(Path(trained["run"]), episodes=2, seed=5)
    assert np.isfinite(judged["returns"]).all()
    assert np.isfinite(trained["score"]["per_seed"]).all()
    assert judged["model_value"]["horizon"] == 200
    assert judged["model_value"]["mean_return"] is None or np.isfinite(judged["model_value"]["mean_return"])
    policy, env = package.load_policy(trained["run"], seed=1), gymnasium.make("Pendulum-v1")
    obs, total = env.reset(seed=6)[0], 0.0
    for _ in range(200):
        obs, reward, *_ = env.step(policy(obs))
        total += float(reward)
    assert judged["returns"][1][1] == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("algorithm", ["bc", pytest.param("cql", marks=pytest.mark.slow)])
def test_policies_without_a_model_see_the_past_too(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, algorithm: str
) -> None:
    done = orl("train-policy", "-a", algorithm, "-d", pendulum_log, "--history", 1, "--steps", 10, "--runs", tmp_path,
               "--json", *settings(TINY_AGENT))  # fmt: skip
    assert done.code == 0, done.err
    assert np.isfinite(done.document["score"]["mean"])
    policy = package.load_policy(done.document["run"])
    assert policy.spec.stacked_dim == 7
    assert np.isfinite([policy(STATE), policy(STATE)]).all()
    fingerprint = load_run(Path(done.document["run"])).record["fingerprint"]
    assert fingerprint == load(pendulum_log).fingerprint
    if algorithm == "bc":
        assert find_bc(tmp_path, fingerprint, history=1) == Path(done.document["run"])
        assert find_bc(tmp_path, fingerprint) is None


def test_a_named_models_history_is_used_and_no_other(
    orl: Callable[..., Any], trained: dict[str, Any], fitted: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    model = Path(trained["run"]) / "model"
    config, _ = resolve_policy(pendulum_log, "mopo", {})
    assert with_settings_of(model, config).history == 2
    assert with_settings_of(model, replace(config, history=2)).history == 2
    with pytest.raises(UsageError, match="was fitted with history 2, not 3; leave --history out"):
        with_settings_of(model, replace(config, history=3))
    for words in (["--model", fitted["run"], "--history", 1], ["--model", model, "--history", 0]):
        for command in (["train-policy", "-a", "mopo"], ["plan", "-p", "mppi"]):
            done = orl(*command, "-d", pendulum_log, "--runs", tmp_path, *words)
            assert done.code == 2
            assert "was fitted with history" in done.err
    assert list(tmp_path.iterdir()) == []


def test_transformers_have_a_window_instead(orl: Callable[..., Any], pendulum_log: str, tmp_path: Path) -> None:
    done = orl("fit-model", "-k", "transformer", "-d", pendulum_log, "--history", 2, "--runs", tmp_path)
    assert (done.code, "--set model.window=N" in done.err) == (2, True)
    done = orl("plan", "-p", "beam", "-d", pendulum_log, "--history", 2, "--runs", tmp_path)
    assert (done.code, "--set model.window" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_written_before_there_were_histories_has_none(
    orl: Callable[..., Any], fitted: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    """It loads, is found for the same settings, and the same command goes on with it."""
    path = tmp_path / "old"
    shutil.copytree(fitted["run"], path)
    words = ("fit-model", "-d", pendulum_log, "--out", path, "--json", *settings(TINY_MODEL))
    text = (path / "config.toml").read_text()
    assert "history = 0\n" in text
    (path / "config.toml").write_text(text.replace("history = 0\n", ""))
    assert load_run(path).history == load_model(path).ensemble.history == 0
    after = orl(*words)
    assert after.code == 0, after.err
    assert after.document["seconds"] == fitted["seconds"]  # the finished run again, not another
    config = FitRunConfig(pendulum_log, model=load_model(path).ensemble.config)
    assert find_fit("ensemble", tmp_path, load(pendulum_log), config) == path
    assert find_fit("ensemble", tmp_path, load(pendulum_log), replace(config, history=1)) is None
    other = orl(*words, "--history", 1)
    assert (other.code, "history is 0 there and 1 now" in other.err) == (2, True)


@pytest.mark.slow
def test_planners_over_an_ensemble_with_a_history(
    orl: Callable[..., Any],
    trained: dict[str, Any],
    pendulum_log: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prior, value and model see the same stacks; the planner is told single observations and expects such."""
    monkeypatch.setattr(behaviour_value, "ROUNDS", 1)  # the value's size matters here, not how good it is
    here = ["-d", pendulum_log, "--runs", str(tmp_path), "--json"]
    cloned = orl("train-policy", "-a", "bc", "--history", 2, "--steps", 10, *here, *settings(TINY_AGENT))
    model = ["--model", str(Path(trained["run"]) / "model"), *settings(["plan.samples=8", "plan.horizon=2"])]
    played = orl("plan", "-p", "mppi", "--episodes", 1, "--set", "plan.kappa=0", *here, *model)
    assert played.code == 0, played.err
    assert played.document["bc"]["run"] == cloned.document["run"]
    assert np.isfinite(played.document["returns"]).all()
    run = load_run(Path(played.document["run"]))
    assert (run.history, load_run(run.path / "prior").history) == (2, 2)
    planner = package.load_planner(run.path)
    actions = [planner(obs) for obs in STATE]
    assert planner.last is not None
    assert planner.last.trajectory.obs.shape == (1, 2, 3)
    np.testing.assert_allclose(planner.last.trajectory.obs[0, 0], STATE[1], atol=1e-5)
    assert np.isfinite(actions).all()
    once = orl("plan", "-p", "cem", "--obs", "1,0,0", "--set", "plan.elites=2", *here, *model)
    assert once.code == 0, once.err
    assert np.shape(once.document["trajectory"]["obs"]) == (2, 3)


def test_predictions_begin_from_the_logs_stacks(trained: dict[str, Any], pendulum_log: str, tmp_path: Path) -> None:
    model = Path(trained["run"]) / "model"
    data = load(pendulum_log)
    stretches, spread = held_out_stretches(data, [load_run(model)], 4, 3, Reporter())
    np.testing.assert_array_equal(stretches.stacked(0), stretches.past.now)
    stacked = stretches.stacked(2)
    np.testing.assert_array_equal(stacked[:, 3:6], stretches.past.obs[:, -1])
    np.testing.assert_array_equal(stacked[:, 6:9], stretches.past.obs[:, -2])
    np.testing.assert_array_equal(stacked[:, 9:], stretches.past.action[:, :-3:-1, 0])
    document = package.predict([model], steps=4, starts=3, root=tmp_path, out=tmp_path / "out")
    assert np.isfinite(document["error"]["ensemble"]).all()
    assert len(spread) == 3


def test_memory_is_counted_for_the_stacks(pendulum_log: str) -> None:
    """W = 3 * 4 + 3 = 15 numbers of obs and next_obs where there were 3; the host keeps the log as it is."""
    data, tiny = load(pendulum_log), {"hidden": [8], "weight_decay": [0.0, 0.0], "members": 3, "elites": 2}
    plans = {}
    for history in (0, 3):
        config = policy_config({"dataset": pendulum_log, "algorithm": "mopo", "model": tiny, "history": history})
        fit = FitRunConfig(pendulum_log, model=config.model, history=history)
        for name, plan in (("policy", policy_plan(data, config)), ("fit", ensemble_plan(data, fit))):
            plans[name, history] = {line.name: line.bytes for line in plan.lines}
    rows, branched = 1600, 50_000 * 5 * 5
    for history, width in ((0, 3), (3, 15)):
        assert plans["policy", history]["dataset on the device"] == rows * (2 * width + 3) * 4
        assert plans["policy", history]["rollout buffer"] == branched * (2 * width + 3) * 4 + 8
        assert plans["fit", history]["rows in the networks' units"] == rows * ((width + 1) + 4 + 3 + 1) * 4
        assert plans["fit", history]["best members so far"] == 3 * ((width + 1) * 8 + 8 + 8 * 8 + 8) * 4
        assert plans["fit", history]["dataset on the host"] == rows * (3 + 1 + 1 + 3) * 4 + rows * 2
    loaded = load_split(with_history(data, 3), 0.1, 20_000)
    assert plans["policy", 3]["dataset on the device"] == tree_bytes((loaded.train, loaded.holdout))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["train-policy", "-a", "bc", *settings(TINY_AGENT)], id="policy"),
        pytest.param(["fit-model", *settings(TINY_MODEL)], id="model", marks=pytest.mark.slow),
    ],
)
def test_a_dry_run_shows_and_times_it(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, words: list[str]
) -> None:
    done = orl(*words, "-d", pendulum_log, "--history", 2, "--dry-run", "--runs", tmp_path, "--json")
    assert done.code == 0, done.err
    assert done.document["config"]["history"] == 2
    assert done.document["plan"]["estimate"]["steps_per_second"] > 0


def test_presets_may_name_the_history_of_a_datasets_models() -> None:
    """A later preset over an earlier one, and nothing of what they say of agents."""
    first = Preset("all", {"model": {"members": 3, "elites": 2}, "agent": {"discount": 0.9}, "history": 4})
    second = Preset("one", {"model": {"members": 5}, "history": 2})
    assert of_ensembles([first, second]) == {"model": {"members": 5, "elites": 2}, "history": 2}
    assert of_ensembles([]) == {}
