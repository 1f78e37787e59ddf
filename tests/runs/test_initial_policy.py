"""`--init`: a run begins as a bc run's policies, says so, and resumes as itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_settings import TINY_AGENT, settings

import orl as package
from orl.data.catalog import load
from orl.errors import DataError, Interrupted, UsageError
from orl.runs import train_policy as training
from orl.runs.config import policy_config, resolve_policy
from orl.runs.directory import config_tree, load_run
from orl.runs.initial_policy import begin_at, initial_policy
from orl.runs.policy import rebuild, stacked_params
from orl.runs.program import initial_states, program_of

OBS = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 5.0], [0.0, -1.0, -8.0]], np.float32)
AGENT = {"hidden": [8], "batch_size": 16}
TRAIN = {"epoch_steps": 10, "steps": 20, "eval_every": 0, "eval_episodes": 2}


def config_for(dataset: str, algorithm: str, seeds: list[int], **agent: Any) -> Any:
    table = {"agent": AGENT | agent, "train": TRAIN, "seeds": seeds}
    if algorithm in ("mopo", "mobrac"):
        table["agent"] |= {"rollout_batch": 16, "rollout_length": 2, "real_ratio": 0.5}
        table["model"] = {"hidden": [8], "weight_decay": [0, 0], "members": 3, "elites": 2, "max_epochs": 2}
    return resolve_policy(dataset, algorithm, table)[0]


@pytest.mark.parametrize("algorithm", ["bc", "cql", "rebrac", "mopo", "mobrac"])
def test_policies_begin_at_exactly_the_cloned_actions(
    algorithm: str, cloned: dict[str, Any], pendulum_log: str
) -> None:
    """Seed 1 begins as bc's seed 1, seed 7 as its first; and what acts before the first update is bc's mode."""
    data, config = load(pendulum_log), config_for(pendulum_log, algorithm, [1, 7])
    initial = initial_policy(data, config, cloned["run"])
    assert initial.seeds == (1, 0)
    program = program_of(config, data)
    theirs = stacked_params(load_run(Path(cloned["run"])))
    fresh = initial_states(config, program, jax.tree.map(lambda x: x[0] + 0.5, theirs.normaliser), data.spec)
    policy = program.algorithm.policy(begin_at(program.algorithm, fresh, initial).agent)
    for index, seed in enumerate(initial.seeds):
        mine, bc = (jax.tree.map(lambda x, i=i: x[i], tree) for tree, i in ((policy, index), (theirs, seed)))
        np.testing.assert_array_equal(mine.normaliser.mean, bc.normaliser.mean)
        bc_act = rebuild(load_run(Path(cloned["run"])))[0].act
        np.testing.assert_array_equal(program.algorithm.act(mine, None, OBS), bc_act(bc, None, OBS))


def test_a_soft_actor_critic_begins_at_the_entropy_it_aims_at(cloned: dict[str, Any], pendulum_log: str) -> None:
    """Before squashing the spread is exp(-1 - log(2 pi e) / 2) = 0.0890 at every observation, and can be learned."""
    data, config = load(pendulum_log), config_for(pendulum_log, "cql", [0])
    program = program_of(config, data)
    initial = initial_policy(data, config, cloned["run"])
    normaliser = jax.tree.map(lambda x: x[0], initial.params.normaliser)
    states = begin_at(program.algorithm, initial_states(config, program, normaliser, data.spec), initial)
    policy = jax.tree.map(lambda x: x[0], program.algorithm.policy(states.agent))
    many = np.repeat(OBS, 5000, axis=0)
    drawn = np.arctanh(np.asarray(program.algorithm.act(policy, jax.random.key(0), many), np.float64))
    assert drawn.reshape(3, 5000).std(axis=1) == pytest.approx(0.0890, rel=0.05)


def test_a_run_that_began_as_bc_says_so_keeps_its_copy_and_resumes(
    cloned: dict[str, Any], pendulum_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after its first epoch, moved bc run away, gone on: the same bits as in one go."""
    data, config = load(pendulum_log), config_for(pendulum_log, "rebrac", [0, 1])
    bc = tmp_path / "bc"
    shutil.copytree(cloned["run"], bc)
    whole = training.train_policy(data, config, tmp_path / "whole", init=bc)
    assert whole["began_as"] == {"run": str(bc), "seeds": [0, 1]}
    assert (tmp_path / "whole" / "init" / "run.json").is_file()

    @contextmanager
    def always() -> Any:
        yield lambda: True

    with monkeypatch.context() as patch:
        patch.setattr(training, "stop_requested", always)
        with pytest.raises(Interrupted):
            training.train_policy(data, config, tmp_path / "run", init=bc)
    shutil.rmtree(bc)
    training.train_policy(data, config, tmp_path / "run")
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("run", "whole")]
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) == 4
    ours, theirs = (stacked_params(load_run(tmp_path / name)) for name in ("run", "whole"))
    for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_beginning_is_another_run(cloned: dict[str, Any], pendulum_log: str, tmp_path: Path) -> None:
    """The same folder without --init, or with another bc run's policies, is refused; paths by default differ."""
    data, config, path = load(pendulum_log), config_for(pendulum_log, "rebrac", [0]), tmp_path / "run"
    plain = training.train_policy(data, config, path)
    assert plain["began_as"] is None
    with pytest.raises(UsageError, match="holds another run: init is None there and '"):
        training.train_policy(data, config, path, init=cloned["run"])
    began = training.train_policy(data, config, tmp_path / "began", init=cloned["run"])
    assert package.load_policy(path)(OBS).tobytes() != package.load_policy(began["run"])(OBS).tobytes()
    other = tmp_path / "other"  # the same policies under each other's seeds
    shutil.copytree(cloned["run"], other)
    for name in ("run.json", "config.toml"):
        text = (other / name).read_text()
        (other / name).write_text(re.sub(r"(seeds\W+)0,(\s+)1", r"\g<1>1,\g<2>0", text))
    with pytest.raises(UsageError, match="holds another run: init is '"):
        training.train_policy(data, config, Path(began["run"]), init=other)
    plain, init = (training.default_policy_path(tmp_path, config, init) for init in (None, cloned["run"]))
    assert plain != init
    assert "rebrac-s0-init" in init.name


def test_what_does_not_fit_is_refused_by_name(
    cloned: dict[str, Any], mopo: dict[str, Any], pendulum_log: str, plain_log: Path, tmp_path: Path
) -> None:
    data, fit = load(pendulum_log), config_for(pendulum_log, "rebrac", [0])
    cases = {
        r"agent\.hidden is \[8\] there and \[9,9\] here; .* --set agent\.hidden=\[8\]": {"hidden": (9, 9)},
        r"agent\.layer_norm is false there and true here; .* --set agent\.layer_norm=false": {"layer_norm": True},
        r"agent\.normalise_obs is \w+ there and \w+ here": {"normalise_obs": not fit.agent.normalise_obs},
    }
    for message, change in cases.items():
        with pytest.raises(UsageError, match=message):
            initial_policy(data, replace(fit, agent=replace(fit.agent, **change)), cloned["run"])
    held = replace(fit, model=replace(fit.model, holdout_fraction=0.3))
    with pytest.raises(UsageError, match=r"model\.holdout_fraction is 0\.\d+ there and 0\.3 here"):
        initial_policy(data, held, cloned["run"])
    with pytest.raises(UsageError, match="is a run of mopo; policies can begin as those of a bc run"):
        initial_policy(data, fit, mopo["run"])
    with pytest.raises(DataError, match="another dataset than"):
        initial_policy(load(str(plain_log)), fit, cloned["run"])
    with pytest.raises(DataError, match="is not a run folder"):
        initial_policy(data, fit, tmp_path)
    stopped = tmp_path / "stopped"
    shutil.copytree(cloned["run"], stopped)
    record = json.loads((stopped / "run.json").read_text())
    (stopped / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    with pytest.raises(DataError, match="is not finished"):
        initial_policy(data, fit, stopped)


def test_force_refuses_to_delete_the_run_it_begins_as(
    cloned: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(cloned["run"], path)
    config = policy_config(config_tree(path))
    with pytest.raises(UsageError, match="copy the bc run elsewhere first"):
        training.train_policy(load(pendulum_log), config, path, init=path, force=True)
    assert (path / "run.json").exists()


def test_the_command_takes_it_and_warns_of_negative_rewards(
    orl: Callable[..., Any], cloned: dict[str, Any], fitted: dict[str, Any], pendulum_log: str, tmp_path: Path
) -> None:
    """mobile on the pendulum's log, all of whose rewards are negative, with the default of its targets."""
    words = ["-a", "mobile", "-d", pendulum_log, "--model", fitted["run"], "--init", cloned["run"], "--steps", 10]
    words += settings(TINY_AGENT, ["agent.rollout_batch=16", "agent.rollout_length=2", "agent.samples=2"])
    words += settings(["agent.nonnegative_targets=true"])
    done = orl("train-policy", *words, "--runs", tmp_path, "--json")
    assert done.code == 0, done.err
    assert done.document["began_as"]["seeds"] == [0]
    assert "100% of the logged rewards are negative" in " ".join(done.err.split())
    assert "mobile-s0-init" in done.document["run"]
    assert np.isfinite(package.load_policy(done.document["run"])(OBS)).all()
