"""Two small datasets of Gymnasium's Pendulum-v1 that need no download: recorded on this machine when first used.

They are ordinary Minari datasets on disk. Score 0 is the mean return of uniformly random torques and score 100 that of
`swing_up` with full torque, each over `REFERENCE_EPISODES` episodes from starts of their own.

The pendulum: angle th (0 is upright), angular speed w, torque u in [-2, 2], g = 10, m = l = 1, so
dw/dt = 15 sin(th) + 3 u. Its energy per m l^2 is w^2 / 6 + 5 cos(th), which is 5 at rest upright.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.data.local import data_folder, read_metadata
from orl.data.publish import RECORDING, publish, work_folder, writable_root

ENV_ID = "Pendulum-v1"
EPISODE_STEPS = 200
SEED = 20_260
REFERENCE_EPISODES = 100
MAX_TORQUE = 2.0
UPRIGHT_ENERGY = 5.0

PUSH_GAIN = 2.0  # torque per unit of missing energy, times the direction of motion
ANGLE_GAIN, SPEED_GAIN = 15.0, 4.0  # the balance: torque against angle (rad) and speed (rad/s)
CATCH_ANGLE = 0.8  # rad from upright within which the balance takes over ...
CATCH_TORQUE = 8.0  # ... where it asks for less than this


def swing_up(obs: NDArray[np.float32], limit: float = MAX_TORQUE) -> float:
    """Torque that pumps energy until the pendulum reaches upright, then balances it there; at most `limit`.

    Takes obs [3] = (cos th, sin th, w).
    """
    cosine, sine, speed = map(float, obs)
    angle = np.arctan2(sine, cosine)
    balance = -(ANGLE_GAIN * angle + SPEED_GAIN * speed)
    if abs(angle) < CATCH_ANGLE and abs(balance) < CATCH_TORQUE:
        return float(np.clip(balance, -limit, limit))
    missing = UPRIGHT_ENERGY - (speed**2 / 6.0 + 5.0 * cosine)
    return float(np.clip(PUSH_GAIN * missing * (1.0 if speed >= 0 else -1.0), -limit, limit))


@dataclass(frozen=True)
class Part:
    """So many episodes of one behaviour: `swing_up` with at most `torque`, plus Gaussian `noise` (N m).

    A torque of 0 with infinite noise is the random behaviour: uniform over all torques.
    """

    name: str
    episodes: int
    torque: float = MAX_TORQUE
    noise: float = 0.0

    def act(self, obs: NDArray[np.float32], rng: np.random.Generator) -> float:
        """Torque in [-2, 2] for obs [3]."""
        if np.isinf(self.noise):
            return float(rng.uniform(-MAX_TORQUE, MAX_TORQUE))
        torque = swing_up(obs, self.torque) + self.noise * rng.standard_normal()
        return float(np.clip(torque, -MAX_TORQUE, MAX_TORQUE))


MIXED = "orl/pendulum/mixed-v0"
NARROW = "orl/pendulum/narrow-v0"
RANDOM = Part("random", 50, torque=0.0, noise=np.inf)
GOOD = Part("good", 20)
WEAK = Part("weak and noisy", 30, torque=0.6, noise=0.6)
# Ten episodes at torques of +-0.6 that seldom come near upright: a model is free to be wrong about all the rest.
MEDIOCRE = Part("mediocre", 10, torque=0.3, noise=0.05)
RECIPES: dict[str, tuple[Part, ...]] = {MIXED: (RANDOM, WEAK, GOOD), NARROW: (MEDIOCRE,)}


def ensure(dataset_id: str, progress: Callable[[str], None] | None = None) -> Path:
    """Record the embedded `dataset_id` unless it is on disk as this version would record it; returns its folder."""
    folder, parts = data_folder(dataset_id).parent, RECIPES[dataset_id]
    if (folder / "data" / "metadata.json").is_file():
        if read_metadata(dataset_id).get("description") == _describe(parts):
            return folder
        shutil.rmtree(folder)  # an older recipe of ours under the same id
    if progress:
        steps = sum(part.episodes for part in parts) * EPISODE_STEPS
        progress(f"recording {dataset_id} ({steps:,} steps) into {folder}")
    return record(dataset_id, parts)


def record(dataset_id: str, parts: tuple[Part, ...], reference_episodes: int = REFERENCE_EPISODES) -> Path:
    """Record `parts` as the Minari dataset `dataset_id`; the same arguments give the same content. Returns its folder.

    Everything is built in a hidden folder beside the datasets and then renamed, so a recording that was cut off leaves
    no dataset behind. If another process finished the same one first, its recording is kept.

    Raises:
        DataError: the datasets folder cannot be written to.
    """
    import gymnasium
    import minari

    target, root = data_folder(dataset_id).parent, writable_root()
    low = float(np.mean(episode_returns(RANDOM, reference_episodes, SEED + 1)))
    high = float(np.mean(episode_returns(GOOD, reference_episodes, SEED + 2)))
    with work_folder(RECORDING) as build, _minari_folder(str(build)):
        collector = minari.DataCollector(gymnasium.make(ENV_ID))
        try:
            for index, part in enumerate(parts):
                _play(collector, part, SEED + 10 + index)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Minari asks for an author's e-mail and a link to the code
                collector.create_dataset(
                    dataset_id,
                    algorithm_name="; ".join(part.name for part in parts),
                    author="orl",
                    description=_describe(parts),
                    ref_min_score=low,
                    ref_max_score=high,
                    num_episodes_average_score=reference_episodes,
                )
        finally:
            collector.close()
        publish(build / dataset_id, target, root)
    return target


def episode_returns(part: Part, episodes: int, seed: int) -> NDArray[np.float64]:
    """[episodes] undiscounted returns of the behaviour `part`, over starts and noise fixed by `seed`."""
    import gymnasium

    env = gymnasium.make(ENV_ID)
    try:
        return _play(env, part, seed, episodes)
    finally:
        env.close()


def _play(env: Any, part: Part, seed: int, episodes: int | None = None) -> NDArray[np.float64]:
    rng, returns = np.random.default_rng(seed), []
    for episode in range(episodes or part.episodes):
        obs, _ = env.reset(seed=seed * 1000 + episode)
        total, ended = 0.0, False
        while not ended:
            action = np.array([part.act(obs, rng)], np.float32)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return np.array(returns)


def _describe(parts: tuple[Part, ...]) -> str:
    """All that decides the content, so that a changed recipe is noticed on disk."""
    gains = (PUSH_GAIN, ANGLE_GAIN, SPEED_GAIN, CATCH_ANGLE, CATCH_TORQUE)
    listed = "; ".join(f"{p.episodes} episodes {p.name} (torque {p.torque}, noise {p.noise})" for p in parts)
    return f"{ENV_ID}: {listed}. Controller gains {gains}, seed {SEED}. Score 0 random, 100 the good controller."


@contextlib.contextmanager
def _minari_folder(folder: str) -> Iterator[None]:
    """Minari takes its folder from the environment only, so it is set there for the time of a recording."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
