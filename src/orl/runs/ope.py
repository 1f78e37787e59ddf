"""`orl ope`: what policies are worth by the log alone, by several methods that go wrong in different ways."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orl.config import as_tree
from orl.errors import Interrupted
from orl.evaluation.ope.methods import FQE
from orl.files import sweep
from orl.locking import locked
from orl.runs.directory import SCHEMA, versions
from orl.runs.interrupt import stop_requested
from orl.runs.judged import Candidate, keep, kept, key_of, open_candidates
from orl.runs.judged_document import verdict_of
from orl.runs.judged_log import LogShelf
from orl.runs.judged_model import ModelShelf
from orl.runs.judgement import judge_candidate
from orl.runs.model_supply import model_identity
from orl.runs.ope_config import OpeConfig
from orl.runs.reporter import Reporter


def ope(
    paths: Sequence[Path],
    *,
    settings: OpeConfig | None = None,
    seed: int | None = None,
    root: Path = Path("runs"),
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Judge every seed of policy runs on the log they were trained on; return the JSON document of `orl ope`.

    What is found out about a candidate is kept in its run folder, in `ope/SEED.json`, and read from there as long as
    policy, data, model and settings are the same.

    Args:
        settings: without a `discount` of theirs, each policy is judged at its own, at 0.99 where it has none.
        seed: only this seed of each run. root: where a model is looked for, for runs that have none.
        force: compute what was kept again.

    Raises:
        DataError: not a policy run, or its data is not there any more, or has too few episodes. UsageError: no such
            seed, a run named twice, or one whose folder is in use or cannot be written to. Interrupted: SIGINT or
            SIGTERM came; the same call goes on.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    settings = settings or OpeConfig()
    candidates = open_candidates(paths, seed, settings.discount, reporter)
    return {
        "schema": SCHEMA,
        "run": [str(path) for path in paths],
        "kind": "ope",
        "settings": as_tree(settings),
        "candidates": judge_candidates(candidates, settings, root=root, force=force, reporter=reporter),
        "versions": versions(),
        "seconds": time.perf_counter() - began,
    }


def judge_candidates(
    candidates: Sequence[Candidate], settings: OpeConfig, *, root: Path, force: bool = False, reporter: Reporter
) -> list[dict[str, Any]]:
    """The document of each candidate, kept or computed; raises as `ope` does, Interrupted among it."""
    logs, models = LogShelf(settings, reporter), ModelShelf(root, candidates)
    documents: list[dict[str, Any]] = []
    reporter.start("judging", len(candidates), "policies")
    with stop_requested() as stopping:
        for candidate in candidates:
            if stopping():
                raise Interrupted(
                    f"stopped after {len(documents)} of {len(candidates)} policies; the same command goes on"
                )
            documents.append(_judged(candidate, settings, logs, models, force, reporter))
            value = documents[-1]["estimates"][FQE]["value"]
            reporter.advance(len(documents), {"fitted Q": math.nan if value is None else value})
    reporter.finish()
    return documents


def _judged(
    candidate: Candidate, settings: OpeConfig, logs: LogShelf, models: ModelShelf, force: bool, reporter: Reporter
) -> dict[str, Any]:
    model = models.of(candidate)
    key = key_of(candidate, as_tree(replace(settings, discount=None)), model_identity(model))
    found = None if force else kept(candidate, key, reporter)
    if found is None:
        with locked(candidate.file.parent, f".{candidate.seed}.lock"):
            sweep(candidate.file.parent)
            found = judge_candidate(candidate, logs.of(candidate), model, models)
            keep(candidate, key, found)
    verdict = verdict_of(found)
    plain = verdict._asdict() | {"pair": None if verdict.pair is None else list(verdict.pair)}
    who = {"run": str(candidate.run.path), "label": candidate.label, "seed": candidate.seed}
    return who | found | {"verdict": plain}
