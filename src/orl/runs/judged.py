"""The candidates of an offline judgement: every seed of the policy runs named, and what was found of each before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from orl.errors import DataError, UsageError
from orl.files import saving
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import SCHEMA, RunDirectory, load_run, read_json, write_json
from orl.runs.model_supply import params_digest
from orl.runs.policy import KIND, rebuild, stacked_params
from orl.runs.reporter import Reporter
from orl.types import ActFn, Params

DISCOUNT = 0.99  # for policies that were trained without one

# Part of every key: estimates kept by an older way of estimating are not taken for new ones.
ESTIMATORS = 4


class Candidate(NamedTuple):
    """One seed's policy of a run, at the end of its training.

    Attributes:
        run, config: its folder, open, and settings. seed: which of the run's.
        act, params: how it acts. digest: of the parameters and how they act.
        discount: per step, of its values.
    """

    run: RunDirectory
    config: PolicyRunConfig
    seed: int
    act: ActFn
    params: Params
    digest: str
    discount: float

    @property
    def label(self) -> str:
        """The run's folder, and the seed where it has several."""
        several = len(self.run.record["seeds"]) > 1
        return f"{self.run.path.name} seed {self.seed}" if several else self.run.path.name

    @property
    def file(self) -> Path:
        """Where its estimates are kept."""
        return self.run.path / "ope" / f"{self.seed}.json"


def open_candidates(
    paths: Sequence[Path], seed: int | None, discount: float | None, reporter: Reporter
) -> list[Candidate]:
    """Every seed (or the one given) of every run, in the order given, each at `discount` or its own.

    Raises:
        DataError: not a policy run, or without a checkpoint.
        UsageError: no such seed, or a run named twice.
    """
    runs = [load_run(path, KIND) for path in paths]  # a wrong path is said before an hour of estimates, not after
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("the same run is named twice; name each once")
    found: list[Candidate] = []
    for run in runs:
        if not run.finished:
            status = run.record["status"]
            reporter.message(f"note: {run.path} is {status}, not finished; its newest checkpoint is judged")
        found += _seeds_of(run, seed, discount)
    return found


def _seeds_of(run: RunDirectory, seed: int | None, discount: float | None) -> list[Candidate]:
    algorithm, config = rebuild(run)
    if seed is not None and seed not in config.seeds:
        raise UsageError(f"{run.path} holds the seeds {list(config.seeds)}, not {seed}")
    stacked = stacked_params(run)
    own = discount if discount is not None else getattr(config.agent, "discount", DISCOUNT)
    found = []
    for index, each in enumerate(config.seeds):
        if seed is None or each == seed:
            params = jax.tree.map(lambda leaf, index=index: leaf[index], stacked)
            digest = f"{config.algorithm}-{params_digest(params)}"
            found.append(Candidate(run, config, each, algorithm.act, params, digest, own))
    return found


def same_data(candidates: Sequence[Candidate]) -> None:
    """DataError unless all were trained on one dataset."""
    first = candidates[0].run
    for candidate in candidates[1:]:
        if candidate.run.record["fingerprint"] != first.record["fingerprint"]:
            names = candidate.run.record["dataset"]["name"], first.record["dataset"]["name"]
            raise DataError(
                f"{candidate.run.path} was trained on {names[0]}, {first.path} on {names[1]}, which is other data"
                " (fingerprints differ); candidates are compared on the log they share"
            )


def key_of(candidate: Candidate, settings: Mapping[str, Any], model: str | None) -> str:
    """What the estimates of a candidate depend on, as a digest: data, policy, discount, settings, model."""
    parts = [ESTIMATORS, candidate.run.record["fingerprint"], candidate.digest, candidate.discount, settings, model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def kept(candidate: Candidate, key: str, reporter: Reporter) -> dict[str, Any] | None:
    """The candidate's document under this key, if it was judged so before; a damaged file counts as none."""
    if not candidate.file.exists():
        return None
    try:
        document = read_json(candidate.file)
    except DataError as error:
        reporter.message(f"note: {error}; its estimates are computed again")
        return None
    same = document.get("schema") == SCHEMA and document.get("key") == key
    return document.get("candidate") if same else None


def keep(candidate: Candidate, key: str, document: Mapping[str, Any]) -> None:
    """Write the candidate's document into its run folder, in place of one under another key.

    Raises:
        UnwritableError: the folder cannot be written to.
    """
    with saving(candidate.file):
        candidate.file.parent.mkdir(exist_ok=True)
    write_json(candidate.file, {"schema": SCHEMA, "key": key, "candidate": document})
