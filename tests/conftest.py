"""What every test shares: a fixed device, no writes to the home folder, and the `orl` program on tiny logs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tiny_settings import TINY_AGENT, TINY_BEAM, TINY_MODEL, TINY_ROLLOUT, TINY_SEQUENCE, settings

# before jax is imported anywhere; ORL_TEST_PLATFORM=cuda runs the same tests on a GPU
os.environ.setdefault("JAX_PLATFORMS", os.environ.get("ORL_TEST_PLATFORM", "cpu"))


class Outcome(NamedTuple):
    """What a call of `orl` left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout, which must hold nothing else."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that stands in for the home folder: datasets, compilation cache, runs."""
    folder = tmp_path_factory.mktemp("sandbox")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("COLUMNS", "80")
        patch.delenv("ORL_RUNS", raising=False)
        yield folder


@pytest.fixture(scope="session")
def orl(sandbox: Path) -> Callable[..., Outcome]:
    """Call the program in this process: orl("runs", "list") -> Outcome."""
    from typer.testing import CliRunner

    from orl_cli.main import app

    def call(*arguments: object) -> Outcome:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(scope="session")
def pendulum_log(sandbox: Path) -> str:
    """Id of a Minari dataset of eight Pendulum episodes, recorded once, with reference returns."""
    from orl.data import pendulum

    name = "tiny/pendulum-v0"
    pendulum.record(name, (pendulum.Part("good", 3), pendulum.Part("random", 5, torque=0.0, noise=np.inf)), 3)
    return name


@pytest.fixture(scope="session")
def write_log(sandbox: Path, pendulum_log: str) -> Callable[..., Path]:
    """Write a NeoRL log without environment: the pendulum's rows, torques shifted to [-1.5, 2.5], and any changes."""
    from orl.data.catalog import load

    data = load(pendulum_log)

    def write(path: Path, **changes: Any) -> Path:
        content = {
            "obs": data.obs,
            "action": data.action + 0.5,
            "next_obs": data.next_obs,
            "reward": data.reward,
            "done": data.terminated,
            "truncated": data.truncated,
        }
        np.savez(path, **(content | changes))
        return path

    return write


@pytest.fixture(scope="session")
def plain_log(sandbox: Path, write_log: Callable[..., Path]) -> Path:
    """That log as a file, unchanged."""
    return write_log(sandbox / "plain.npz")


@pytest.fixture(scope="session")
def root(sandbox: Path) -> Path:
    """The folder of the runs that the tests share; nothing in it may be changed."""
    return sandbox / "runs"


@pytest.fixture(scope="session")
def fitted(orl: Callable[..., Outcome], pendulum_log: str, root: Path) -> dict[str, Any]:
    """The document of a tiny model of the pendulum."""
    done = orl("fit-model", "-d", pendulum_log, "--runs", root, "--json", *settings(TINY_MODEL))
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="session")
def cloned(orl: Callable[..., Outcome], pendulum_log: str, root: Path) -> dict[str, Any]:
    """The document of a tiny bc run, seeds 0 and 1, evaluated after each of its three epochs."""
    words = settings(TINY_AGENT, ["train.eval_every=1"])
    done = orl(
        "train-policy",
        "-a",
        "bc",
        "-d",
        pendulum_log,
        "--seeds",
        "0:2",
        "--steps",
        30,
        "--runs",
        root,
        "--json",
        *words,
    )
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="session")
def mopo(orl: Callable[..., Outcome], pendulum_log: str, root: Path, fitted: dict[str, Any]) -> dict[str, Any]:
    """The document of a tiny mopo run on `fitted`."""
    words = settings(TINY_MODEL, TINY_AGENT, TINY_ROLLOUT)
    done = orl("train-policy", "-a", "mopo", "-d", pendulum_log, "--steps", 30, "--runs", root, "--json", *words)
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="session")
def fitted_sequence(orl: Callable[..., Outcome], pendulum_log: str, root: Path) -> dict[str, Any]:
    """The document of a tiny transformer of the pendulum."""
    words = settings(TINY_SEQUENCE)
    done = orl("fit-model", "-k", "transformer", "-d", pendulum_log, "--runs", root, "--json", *words)
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="session")
def planned(
    orl: Callable[..., Outcome], pendulum_log: str, root: Path, fitted_sequence: dict[str, Any], cloned: dict[str, Any]
) -> dict[str, Any]:
    """The document of a tiny beam's two episodes on `fitted_sequence`, every other step planned."""
    words = settings(TINY_SEQUENCE, TINY_BEAM, ["plan.plan_freq=2"])
    done = orl("plan", "-d", pendulum_log, "--episodes", 2, "--runs", root, "--json", *words)
    assert done.code == 0, done.err
    return done.document
