"""From a dataset to arrays on the device, split by episode, in the agent's units."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from orl.data.border import agent_action
from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.data.history import stacked_rows
from orl.data.split import SPLIT_SEED, Split, split_by_episode
from orl.errors import DataError
from orl.runs.directory import RunDirectory, config_tree
from orl.runs.reporter import Reporter
from orl.types import Transition


class LoadedData(NamedTuple):
    """Training and held-out rows, and the row where each held-out episode begins.

    `continues` [N] says of each training row whether the next one is the same episode's next step.
    """

    train: Transition
    holdout: Transition
    holdout_starts: np.ndarray
    initial_obs: np.ndarray
    split: Split
    continues: np.ndarray


def dataset_of(run: RunDirectory, reporter: Reporter) -> Dataset:
    """The dataset that a run was fitted to or trained on, under the name it had.

    Raises:
        DataError: it is not there, or holds something else by now.
    """
    name = config_tree(run.path)["dataset"]
    if not isinstance(name, str):
        raise DataError(f"{run.path}/config.toml: dataset = {name!r} is no name of a dataset")
    dataset = load(name, reporter.message)
    if dataset.fingerprint != run.record["fingerprint"]:
        raise DataError(f"{dataset.name} is not what {run.path} was fitted to any more (fingerprints differ)")
    return dataset


def transitions(dataset: Dataset, rows: np.ndarray) -> Transition:
    """The rows [N], with the dataset's history, as device arrays [N, ...]: float32, actions in [-1, 1]."""
    obs, next_obs = stacked_rows(dataset, rows)
    return Transition(
        obs=jnp.asarray(obs),
        action=jnp.asarray(agent_action(dataset.action[rows], dataset.action_low, dataset.action_high)),
        reward=jnp.asarray(dataset.reward[rows]),
        next_obs=jnp.asarray(next_obs),
        terminated=jnp.asarray(dataset.terminated[rows], jnp.float32),
    )


def continues(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """[N] bool: whether the row after each of `rows` [N] is the next step of the same episode."""
    episode = dataset.episode_of_row[rows]
    follows = (np.diff(rows) == 1) & (np.diff(episode) == 0)
    return np.append(follows, False)


def load_split(dataset: Dataset, fraction: float, max_rows: int) -> LoadedData:
    """Split by episode and move both sides to the device."""
    split = split_by_episode(dataset, fraction, SPLIT_SEED, max_rows)
    episode = dataset.episode_of_row[split.holdout_rows]
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    initial = np.intersect1d(split.train_rows, dataset.starts)
    return LoadedData(
        train=transitions(dataset, split.train_rows),
        holdout=transitions(dataset, split.holdout_rows),
        holdout_starts=starts,
        initial_obs=stacked_rows(dataset, initial)[0],
        split=split,
        continues=continues(dataset, split.train_rows),
    )
