"""`evaluate`: the same start states for all, scores by the reference, the model's opinion and its gap."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orl as package
from orl.errors import UsageError
from orl.evaluation.episodes import EnvSpec
from orl.runs import evaluate as judging
from orl.runs.directory import load_run
from orl.runs.policy import rebuild, stacked_params
from orl.runs.training import TRAINING_EVAL_SEED


@pytest.fixture(scope="module")
def judged(mopo: dict[str, Any]) -> dict[str, Any]:
    return package.evaluate(Path(mopo["run"]), episodes=3, seed=5)


@pytest.fixture(scope="module")
def judged_bc(cloned: dict[str, Any]) -> dict[str, Any]:
    return package.evaluate(Path(cloned["run"]), episodes=3, seed=5)


def by_hand(run: str, seed: int, reset_seed: int, checkpoint: str = "last") -> tuple[float, np.ndarray]:
    """The return of one episode in a plain Gymnasium loop, and its first observation."""
    import gymnasium

    policy, env = package.load_policy(run, seed=seed, checkpoint=checkpoint), gymnasium.make("Pendulum-v1")
    obs, _ = env.reset(seed=reset_seed)
    start, total, ended = obs, 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = env.step(policy(obs))
        total, ended = total + float(reward), terminated or truncated
    return total, start


def test_returns_are_those_of_plain_episodes(judged_bc: dict[str, Any], cloned: dict[str, Any]) -> None:
    returns = np.array(judged_bc["returns"])
    assert returns.shape == (2, 3)
    for seed in (0, 1):
        assert returns[seed, 1] == pytest.approx(by_hand(cloned["run"], seed, 6)[0], rel=1e-3)
    assert judged_bc["lengths"] == [[200] * 3] * 2
    assert judged_bc["terminated"] == [[False] * 3] * 2


def test_scores_follow_from_the_returns(judged_bc: dict[str, Any]) -> None:
    reference = judged_bc["reference"]
    assert set(reference) == {"min", "max", "source"}
    returns = np.array(judged_bc["returns"]).mean(axis=1)
    scores = 100 * (returns - reference["min"]) / (reference["max"] - reference["min"])
    score = judged_bc["score"]
    assert score["per_seed"] == pytest.approx(scores)
    assert score["mean"] == pytest.approx(scores.mean())
    assert score["iqm"] == pytest.approx(scores.mean())  # of two numbers nothing is trimmed
    assert score["ci95"] == pytest.approx([scores.min(), scores.max()])
    assert (score["ci_over"], score["normalised"]) == ("seeds", True)


def test_one_seed_has_an_interval_over_its_episodes(judged: dict[str, Any]) -> None:
    low, high = judged["score"]["ci95"]
    assert judged["score"]["ci_over"] == "episodes"
    assert low < judged["score"]["mean"] < high


def test_every_run_meets_the_same_start_states(mopo: dict[str, Any], cloned: dict[str, Any]) -> None:
    starts = []
    for path in (mopo["run"], cloned["run"]):
        run = load_run(Path(path))
        algorithm, _ = rebuild(run)
        played = judging.play(run, algorithm.act, stacked_params(run), 2, 5)
        starts.append(played.initial_obs)
    assert starts[0].tobytes() == starts[1].tobytes()
    assert starts[0][1] == pytest.approx(by_hand(mopo["run"], 0, 6)[1])
    assert np.abs(starts[0][0] - starts[0][1]).max() > 0.01


def test_best_is_the_best_of_training_and_last_the_last(judged_bc: dict[str, Any], cloned: dict[str, Any]) -> None:
    rows = load_run(Path(cloned["run"])).rows("metrics.jsonl")
    reference = judged_bc["reference"]
    of_seed = [[row["eval_return"] for row in rows if row["seed"] == seed] for seed in (0, 1)]
    span = (reference["max"] - reference["min"]) / 100
    best = [(max(values) - reference["min"]) / span for values in of_seed]
    assert cloned["best_score"]["per_seed"] == pytest.approx(best, rel=1e-6)
    assert cloned["score"]["per_seed"] == pytest.approx([(v[-1] - reference["min"]) / span for v in of_seed], rel=1e-6)
    for seed, values in enumerate(of_seed):  # the parameters kept as best are those that earned the best return
        earned = [by_hand(cloned["run"], seed, TRAINING_EVAL_SEED + i, "best")[0] for i in range(2)]
        assert np.mean(earned) == pytest.approx(max(values), rel=1e-3)


def test_behaviour_is_that_of_the_log(judged: dict[str, Any], pendulum_log: str) -> None:
    data = package.load_dataset(pendulum_log)
    reference = judged["reference"]
    mean, best = data.returns.mean(), data.returns.max()
    span = reference["max"] - reference["min"]
    assert judged["behaviour"] == pytest.approx(
        {
            "mean": mean,
            "best": best,
            "score": 100 * (mean - reference["min"]) / span,
            "best_score": 100 * (best - reference["min"]) / span,
            "episodes": 8,
        }
    )


def test_the_models_opinion_and_its_gap(judged: dict[str, Any], judged_bc: dict[str, Any]) -> None:
    value, reference = judged["model_value"], judged["reference"]
    span = reference["max"] - reference["min"]
    assert value["horizon"] == 200
    assert value["score"] == pytest.approx(100 * (value["mean_return"] - reference["min"]) / span)
    assert value["gap"] == pytest.approx(value["score"] - judged["score"]["mean"])
    assert value["per_seed"] == pytest.approx([value["score"]])
    assert judged_bc["model_value"] is None


def test_the_models_opinion_is_an_open_rollout_from_the_same_starts(mopo: dict[str, Any]) -> None:
    """With a model that predicts no change and reward -1 for certain, the value is minus the horizon."""
    import jax.numpy as jnp

    run = load_run(Path(mopo["run"]))
    algorithm, _ = rebuild(run)
    policies = stacked_params(run)
    played = judging.play(run, algorithm.act, policies, 2, 5)
    env, reference = judging.environment_of(run), judging.reference_of(run)
    model = package.load_model(run.path / "model")
    zero = {
        name: {k: jnp.zeros_like(v) for k, v in layer.items()} for name, layer in model.params.net["params"].items()
    }
    constant = model.params._replace(
        net={"params": zero},
        max_log_var=jnp.full(4, -40.0),
        min_log_var=jnp.full(4, -41.0),
        targets=model.params.targets._replace(mean=jnp.array([0.0, 0.0, 0.0, -1.0])),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "load_model", lambda path: model._replace(params=constant))
        value = judging.model_value(run, algorithm.act, policies, played, env, reference)
        endless = constant.targets._replace(mean=jnp.array([0.0, 0.0, 0.0, -jnp.inf]))
        patch.setattr(judging, "load_model", lambda path: model._replace(params=constant._replace(targets=endless)))
        blown = judging.model_value(run, algorithm.act, policies, played, env, reference)
    assert value["mean_return"] == pytest.approx(-200.0, rel=1e-4)
    assert value["gap"] == pytest.approx(reference.score(-200.0) - reference.score(played.returns.mean()), rel=1e-4)
    assert [blown[key] for key in ("mean_return", "score", "gap", "per_seed")] == [None] * 4


def test_the_document_is_written_beside_the_run(judged: dict[str, Any], mopo: dict[str, Any]) -> None:
    file = Path(mopo["run"]) / "eval" / "Pendulum-v1-3x5.json"
    assert json.loads(file.read_text()) == judged
    assert (judged["schema"], judged["kind"], judged["algorithm"]) == (1, "evaluation", "mopo")


def test_without_an_environment_one_must_be_named(
    orl: Callable[..., Any], write_log: Callable[..., Path], pendulum_log: str, tmp_path: Path
) -> None:
    """And then the returns are the scores: a log without reference has nothing to normalise by."""
    log = write_log(tmp_path / "log.npz", action=package.load_dataset(pendulum_log).action)
    words = ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10"]
    options = [word for assignment in words for word in ("--set", assignment)]
    done = orl("train-policy", "-a", "bc", "-d", log, "--steps", 10, "--out", tmp_path / "bc", *options)
    assert done.code == 0
    with pytest.raises(UsageError, match="names no environment; give one with --env ID"):
        package.evaluate(tmp_path / "bc")
    document = package.evaluate(tmp_path / "bc", episodes=2, env=EnvSpec("Pendulum-v1"))
    assert document["score"]["mean"] == pytest.approx(np.mean(document["returns"]))
    assert document["score"]["normalised"] is False
    assert document["best_score"] == document["score"]  # nothing was evaluated in training: best is the last
    assert [document["reference"], document["behaviour"]["score"], document["model_value"]] == [None] * 3


def test_bc_is_found_or_trained(
    orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    shown = orl("evaluate", mopo["run"], "--episodes", 2, "--runs", root, "--json").document
    assert shown["bc"]["run"] == cloned["run"]
    direct = orl("evaluate", cloned["run"], "--episodes", 2, "--runs", root, "--json").document
    assert shown["bc"]["score"] == direct["score"]
    assert shown["bc"]["best_score"] == direct["best_score"]
    assert "bc" not in orl("evaluate", mopo["run"], "--episodes", 2, "--no-bc", "--runs", root, "--json").document

    from orl.runs import yardstick

    with pytest.MonkeyPatch.context() as patch:  # where there is none, one is trained below --runs
        patch.setattr(yardstick, "YARDSTICK_STEPS", 1000)
        done = orl("evaluate", mopo["run"], "--episodes", 2, "--runs", tmp_path, "--json")
    (run,) = (tmp_path / "tiny-pendulum-v0").glob("bc-s0-*")  # a digest: shorter than the preset's run
    assert done.document["bc"]["run"] == str(run)
    assert f"no bc run on this data yet: training one into {run}" in done.err
    record = load_run(run).record
    assert (record["status"], record["result"]["steps"]) == ("finished", 1000)
