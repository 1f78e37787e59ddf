"""`orl export`: a policy as a file that needs no orl, held against the policy in JAX before it appears."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from orl.deployment.description import arrays_of, memory_size
from orl.files import write_text
from orl.runs.directory import SCHEMA, versions, write_json
from orl.runs.export.card import model_card
from orl.runs.export.facts import data_document, flag_document, strange_observations
from orl.runs.export.formats import known_format
from orl.runs.export.judged import judgements
from orl.runs.export.place import CARD, RECORD, building, check_place
from orl.runs.export.proof import Questions, proven
from orl.runs.export.subject import (
    Subject,
    description_of,
    familiarity,
    held_out,
    model_of,
    open_subject,
)
from orl.runs.loading import dataset_of
from orl.runs.reporter import Reporter

QUANTILE = 0.99  # of held-out logged rows: one in a hundred familiar inputs is flagged


def export(
    path: Path,
    *,
    format: str = "onnx",
    out: Path | None = None,
    seed: int | None = None,
    checkpoint: str = "last",
    model: Path | None = None,
    quantile: float = QUANTILE,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write a policy as "onnx", "stablehlo" or "numpy" into a folder with a model card; return its JSON document.

    The file holds all between an observation as it is logged and an action as it is played: history, normaliser,
    network, scaling, clipping, and a flag for inputs that the model does not know. It is opened again by its own
    runtime and asked the run's held-out rows; the folder appears only if it answers as the policy does in JAX.

    Args:
        out: the folder; RUN/export/FORMAT by default. seed: which of the run's; the first by default.
        checkpoint: "last" or "best". model: run folder of the ensemble that makes the flag; the run's own by default.
        quantile: of held-out logged rows at least this share is not flagged. force: replace an export in the folder.

    Raises:
        ParityError: the file answers otherwise than the policy, by more than 1e-5 of the action's range.
        UsageError: a planner or a model, an unknown seed, checkpoint or format, a quantile that so few rows cannot
            tell, or a folder that is in use, holds something else, or cannot be written to.
        DataError: no policy run, or its dataset or model is not there or another. MissingError: the format's packages
            are not installed.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    known_format(format)  # what is not installed is said first
    subject = open_subject(path, seed, checkpoint)
    plan = _planned(subject, format, out, model, force)
    _tell(subject, seed, reporter)
    dataset = dataset_of(subject.run, reporter)
    rows, episodes = held_out(dataset, subject.config.model, subject.spec.history)
    known = familiarity(dataset, model_of(subject, model), quantile)
    if known.missing:
        reporter.message(f"no out-of-distribution flag: {known.missing}")
    facts = plan | {"dataset": data_document(subject, dataset, episodes), "flag": flag_document(known, quantile)}
    facts["judged"] = judgements(subject.run, subject.seed, reporter)
    questions = Questions(rows, strange_observations(dataset, len(episodes)))
    with building(Path(plan["folder"]), force) as folder:
        document = facts | proven(folder, format, subject, known, questions, reporter)
        document |= {"versions": versions(), "seconds": time.perf_counter() - began}
        write_text(folder / CARD, model_card(document))
        write_json(folder / RECORD, document)
    return document


def export_plan(
    path: Path,
    *,
    format: str = "onnx",
    out: Path | None = None,
    seed: int | None = None,
    checkpoint: str = "last",
    model: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """What `export` would write, told without the run's dataset: the beginning of its document. Raises as it does."""
    known_format(format)
    return _planned(open_subject(path, seed, checkpoint), format, out, model, force)


def _planned(subject: Subject, format: str, out: Path | None, model: Path | None, force: bool) -> dict[str, Any]:
    path, spec = subject.run.path, subject.spec
    target, chosen = out or path / "export" / format, model_of(subject, model)
    check_place(target, force)
    weights = arrays_of(description_of(subject, None))
    return {
        "schema": SCHEMA,
        "run": str(path),
        "kind": "export",
        "format": format,
        "folder": str(target),
        "contents": [*known_format(format).files, CARD, RECORD],
        "algorithm": subject.config.algorithm,
        "seed": subject.seed,
        "checkpoint": subject.checkpoint,
        "at_the_end": subject.is_last,
        "status": subject.run.record["status"],
        "steps": subject.config.train.epochs * subject.config.train.epoch_steps,
        "parameters": sum(each.size for name, each in weights.items() if name.startswith("policy_")),
        "obs_dim": spec.obs_dim,
        "history": spec.history,
        "memory_dim": memory_size(spec),
        "action_dim": spec.action_dim,
        "action_low": list(spec.action_low),
        "action_high": list(spec.action_high),
        "model": None if chosen is None else str(chosen),
    }


def _tell(subject: Subject, seed: int | None, reporter: Reporter) -> None:
    """What the user may not expect of the policy that is exported."""
    run, seeds = subject.run, subject.config.seeds
    if not run.finished:
        reporter.message(f"note: {run.path} is {run.record['status']}, not finished; its newest checkpoint is exported")
    if seed is None and len(seeds) > 1:
        held = ", ".join(map(str, seeds))
        reporter.message(f"note: of the seeds {held} this is {subject.seed}; choose with --seed")
