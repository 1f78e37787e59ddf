"""How long a user waits before anything happens, in starts of `python -c "import numpy"`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

from orl.data.catalog import load
from orl.dynamics.config import EnsembleConfig
from orl.runs.config import FitRunConfig
from orl.runs.fit_model import fit_model
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hopper import ACT, OBS
from orl_bench.yardsticks import PYTHON

ORL = (sys.executable, "-m", "orl_cli.main")
ROWS, EPISODE = 2000, 200
LENGTH = ("--steps", "2", "--set", "train.epoch_steps=2", "--set", "agent.rollout_batch=1000")


def help_work(setting: Setting) -> Work:
    """`orl --help`, which imports nothing heavy."""
    return _work("orl --help", lambda: _run("--help"), 5)


def cold_work(setting: Setting) -> Work:
    """A first `orl train-policy`: imports, compilation, two updates, checkpoint."""
    start, number = _training(setting.folder), count()
    return _work(
        "orl train-policy -a mopo, nothing compiled before; 1000 x 5 rollouts, 2 updates",
        lambda: start(setting.folder / f"cache-{next(number)}"),
        2,
    )


def cached_work(setting: Setting) -> Work:
    """The same again, its programs found in the compilation cache; `compile_s` is what the cache saves."""
    start = _training(setting.folder)
    return _work(
        "orl train-policy -a mopo, all compiled before; 1000 x 5 rollouts, 2 updates",
        lambda: start(setting.folder / "cache"),
        2,
        warm=True,
    )


def _work(workload: str, call: Callable[[], None], repeats: int, warm: bool = False) -> Work:
    return Work(workload, "starts", 1, 1, call, repeats, PYTHON, warm=warm)


def _training(folder: Path) -> Callable[[Path], None]:
    """A call that trains into a fresh run folder with the compilation cache it is given.

    The model is fitted beforehand, for one epoch on a tiny log without environment: no fit and no evaluation are timed.
    """
    log, model, number = folder / "log.npz", folder / "model", count()
    rng = np.random.default_rng(0)
    obs = rng.standard_normal((ROWS + 1, OBS), np.float32)
    ends = np.arange(ROWS) % EPISODE == EPISODE - 1
    action, reward = rng.uniform(-1, 1, (ROWS, ACT)).astype(np.float32), rng.standard_normal(ROWS, np.float32)
    np.savez(
        log, obs=obs[:-1], next_obs=obs[1:], action=action, reward=reward, done=np.zeros(ROWS, bool), truncated=ends
    )
    fit_model(load(str(log)), FitRunConfig(str(log), model=EnsembleConfig(max_epochs=1)), model)

    def start(cache: Path) -> None:
        run = folder / f"run-{next(number)}"
        words = ("train-policy", "-a", "mopo", "-d", str(log), "--model", str(model), "--out", str(run), "--quiet")
        _run(*words, *LENGTH, cache=cache)

    return start


def _run(*words: str, cache: Path | None = None) -> None:
    environment = dict(os.environ)
    if cache:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    subprocess.run([*ORL, *words], check=True, stdout=subprocess.DEVNULL, env=environment)


BENCHMARKS = [
    Benchmark("start-help", "start", help_work, margin=0.4),
    Benchmark("start-train-cold", "start", cold_work, quick=False, margin=0.4),
    Benchmark("start-train-cached", "start", cached_work, margin=0.4),
]
