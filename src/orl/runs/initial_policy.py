"""`--init`: policies that begin as those of a finished bc run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from orl.agents.actor import PolicyParams
from orl.algorithms.base import Algorithm
from orl.algorithms.epoch import TrainState
from orl.data.episodes import Dataset
from orl.errors import DataError, UsageError
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import RunDirectory, load_run
from orl.runs.policy import KIND, rebuild, stacked_params


class InitialPolicy(NamedTuple):
    """Where policies begin.

    Attributes:
        path: the bc run's folder. seeds: its seed that each of the new run's seeds begins with.
        params: the policies, stacked over the new run's seeds [S], with the bc run's normaliser.
    """

    path: Path
    seeds: tuple[int, ...]
    params: PolicyParams


def initial_policy(dataset: Dataset, config: PolicyRunConfig, path: str | Path) -> InitialPolicy:
    """The policies at the end of a bc run, each seed's own where the bc run has that seed, else its first seed's.

    Raises:
        DataError: not a finished run of a policy on this dataset. UsageError: another algorithm's run, or one with
        another history, other networks, units or held-out episodes.
    """
    run = load_run(Path(path), KIND)
    _check_data(run, dataset)
    _, theirs = rebuild(run)
    if theirs.algorithm != "bc":
        raise UsageError(f"--init {path} is a run of {theirs.algorithm}; policies can begin as those of a bc run")
    for name, there, here in _must_agree(theirs, config):
        if there != here:
            remedy = f"--history {there}" if name == "history" else f"--set {name}={_shown(there)}"
            raise UsageError(
                f"--init {path}: {name} is {_shown(there)} there and {_shown(here)} here;"
                f" make them agree, say by {remedy}"
            )
    seeds = tuple(seed if seed in theirs.seeds else theirs.seeds[0] for seed in config.seeds)
    index = np.asarray([theirs.seeds.index(seed) for seed in seeds])
    return InitialPolicy(Path(path), seeds, jax.tree.map(lambda leaf: leaf[index], stacked_params(run)))


def begin_at(algorithm: Algorithm, states: TrainState, initial: InitialPolicy) -> TrainState:
    """The states of all seeds [S] with the initial policies in place of their fresh ones."""
    return states._replace(agent=jax.vmap(algorithm.adopt)(states.agent, initial.params))


def _check_data(run: RunDirectory, dataset: Dataset) -> None:
    if run.record.get("fingerprint") != dataset.fingerprint:
        raise DataError(
            f"--init {run.path} was trained on {run.record['dataset']['name']}, another dataset than {dataset.name}"
            " (fingerprints differ); train bc on this one first"
        )
    if not run.finished:
        raise DataError(f"--init {run.path} is not finished; run its train-policy command again to complete it")


def _must_agree(theirs: PolicyRunConfig, ours: PolicyRunConfig) -> list[tuple[str, Any, Any]]:
    """(setting, there, here) of what decides whether a policy fits, and what it may have seen."""
    agent, model = ("hidden", "layer_norm", "normalise_obs"), ("holdout_fraction", "holdout_max_rows")
    pairs: list[tuple[str, Any, Any]] = [("history", theirs.history, ours.history)]
    pairs += [(f"agent.{name}", getattr(theirs.agent, name), getattr(ours.agent, name)) for name in agent]
    return pairs + [(f"model.{name}", getattr(theirs.model, name), getattr(ours.model, name)) for name in model]


def _shown(value: Any) -> str:
    """A setting's value as `--set` reads it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
