"""`orl tune`: one ensemble, a declared set of candidates, a selection from the log alone, in a given time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orl.algorithms import ALGORITHMS
from orl.config import as_tree
from orl.data.episodes import Dataset
from orl.errors import DivergedError, Interrupted
from orl.runs.candidates import CandidateConfig, CandidateSet, penalty_share, resolve_candidate, resolve_model
from orl.runs.claim import claimed
from orl.runs.directory import SCHEMA, is_finished, slug, versions
from orl.runs.fit_model import fit_model
from orl.runs.interrupt import stop_requested
from orl.runs.record import dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.runs.select import select
from orl.runs.train_policy import train_policy
from orl.runs.tune_plan import Measured, allot, first_plan, measure
from orl.runs.tune_record import Ticking, TuneRecord, check_tune, open_tune

Selector = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Tune:
    """The parts of a tune that is under way. `seconds` is its whole budget."""

    dataset: Dataset
    candidates: CandidateSet
    seconds: float
    record: TuneRecord
    reporter: Reporter
    stopping: Callable[[], bool]

    @property
    def model(self) -> Path:
        """Folder of the shared ensemble."""
        return self.record.folder / "model"

    def run(self, name: str) -> Path:
        """Folder of a candidate's training."""
        return self.record.folder / "candidates" / name

    def stop_if_asked(self) -> None:
        """Interrupted where a signal came between two stages."""
        if self.stopping():
            raise Interrupted("stopped; what is finished is kept, and the same command goes on from there")


def default_tune_path(root: Path, dataset: str) -> Path:
    """Where a tune goes unless told otherwise."""
    return root / slug(dataset) / "tune"


def tune(
    dataset: Dataset,
    candidates: CandidateSet,
    folder: Path,
    *,
    seconds: float,
    force: bool = False,
    reporter: Reporter | None = None,
    selector: Selector = select,
) -> dict[str, Any]:
    """Train the candidates, judge them and return the document of `orl tune`; goes on where an earlier call stopped.

    Uses no simulator. What was decided by measured time (epochs of the model, updates of a candidate that has begun)
    stands in `tune.json` before it is acted on, and is kept.

    Args:
        seconds: the budget. selector: judges run folders, with the signature of `runs.select.select`.

    Raises:
        UsageError: the folder holds something else, is in use or cannot be written to, a setting is wrong, or the
        memory is too small for a candidate.
        DivergedError: the ensemble's fit diverged, or every candidate did. Interrupted: SIGINT or SIGTERM came.
    """
    reporter, request = reporter or Reporter(), _request(dataset, candidates, seconds)
    finished = check_tune(folder, request, force=force)
    with claimed(folder, not finished), stop_requested() as stopping:
        record = open_tune(folder, request, _details(dataset, candidates), force=force)
        if record.finished:
            return document(record)
        work = Tune(dataset, candidates, seconds, record, Ticking(reporter, record), stopping)
        record.update(status="running")
        try:
            measured = _prepare(work)
            _fit(work, measured)
            _train(work, measured)
            _judge(work, selector)
        except Interrupted:
            record.update(status="interrupted")
            raise
    return document(record)


def document(record: TuneRecord) -> dict[str, Any]:
    """The JSON document of a finished tune."""
    content = record.content
    return {
        "schema": SCHEMA,
        "run": str(record.folder),
        "kind": "tune",
        "seconds": record.spent,
        "seconds_by_stage": content["seconds"],
        "budget_seconds": content["request"]["budget_seconds"],
        "dataset": content["dataset"],
        "history": content["measured"]["history"],
        "candidates": [{"name": name, **entry} for name, entry in content["candidates"].items()],
        "selection": content["selection"],
        "versions": versions(),
    }


def _request(dataset: Dataset, candidates: CandidateSet, seconds: float) -> dict[str, Any]:
    """What must agree for a tune to go on: data, budget and every setting of the set."""
    tree = as_tree(candidates)
    entries = {entry["name"]: entry for entry in tree.pop("candidate")}
    order = list(entries)
    return {**dataset_identity(dataset), "budget_seconds": seconds, **tree, "order": order, "candidates": entries}


def _details(dataset: Dataset, candidates: CandidateSet) -> dict[str, Any]:
    fresh = {"status": "waiting", "updates": None, "seconds": 0.0, "seconds_per_update": None, "note": None}
    entries = {
        each.name: {"algorithm": each.algo, "run": f"candidates/{each.name}", "wanted": each.steps, **fresh}
        for each in candidates.candidate
    }
    return {**run_details(dataset, []), "measured": None, "candidates": entries, "selection": None}


def _prepare(work: Tune) -> Measured:
    """What is measured before anything is fitted; once a folder."""
    record = work.record
    if record.content["measured"] is None:
        with record.timed("preparation"):
            measured = measure(work.dataset, work.candidates, work.seconds, work.reporter, work.stop_if_asked)
        record.update(measured=measured.document())
        updates = first_plan(work.candidates, measured, work.seconds, record.spent)
        words = ", ".join(f"{name} {count:,}" if count else f"{name} not at all" for name, count in updates.items())
        work.reporter.message(f"updates that the budget holds: {words}")
    return Measured.read(record.content["measured"])


def _fit(work: Tune, measured: Measured) -> None:
    """The shared ensemble, in at most the epochs that its share of the budget holds."""
    if measured.model_epochs is None or is_finished(work.model):
        return
    work.stop_if_asked()
    config, presets = resolve_model(work.dataset.name, work.candidates, measured.history, measured.model_epochs)
    with work.record.timed("model"):
        fit_model(work.dataset, config, work.model, presets=presets, reporter=work.reporter)


def _train(work: Tune, measured: Measured) -> None:
    """Every candidate in its turn, for as many updates as the time left allows."""
    everything = work.candidates.candidate
    for index, candidate in enumerate(everything):
        entry = work.record.candidate(candidate.name)
        if entry["status"] == "waiting":
            _begin(work, measured, everything[index:])
        if entry["status"] == "running":
            work.stop_if_asked()
            _train_one(work, measured, candidate, entry)


def _begin(work: Tune, measured: Measured, left: Sequence[CandidateConfig]) -> None:
    """Settle the updates of the first of those left, or leave it out, before it begins."""
    record, candidate = work.record, left[0]
    spoilt = candidate.init and record.candidate(candidate.init)["status"] != "finished"
    if spoilt:
        note = f"left out: {candidate.init}, from which it starts, did not finish"
        work.reporter.message(f"{candidate.name} is {note}")
        return record.update_candidate(candidate.name, status="dropped", note=note)
    updates = allot(work.candidates, measured, work.seconds, record.spent, left, record.content["candidates"])[0]
    if updates is None:
        note = f"left out: the time left does not hold {work.candidates.budget.min_steps} updates of it"
        work.reporter.message(f"{candidate.name} is {note}")
        return record.update_candidate(candidate.name, status="dropped", note=note)
    work.reporter.message(f"{candidate.name}: {updates:,} of {candidate.steps:,} updates")
    return record.update_candidate(candidate.name, status="running", updates=updates)


def _train_one(work: Tune, measured: Measured, candidate: CandidateConfig, entry: dict[str, Any]) -> None:
    name, history = candidate.name, measured.history
    config, presets = resolve_candidate(work.dataset.name, work.candidates, candidate, history, entry["updates"])
    try:
        with work.record.timed("training", name):
            result = train_policy(
                work.dataset,
                config,
                work.run(name),
                root=work.record.folder,
                model=work.model if ALGORITHMS[candidate.algo].needs_model else None,
                init=None if candidate.init is None else work.run(candidate.init),
                presets=presets,
                penalty_share=penalty_share(candidate),
                simulator=False,
                reporter=work.reporter,
            )
    except DivergedError as error:
        work.reporter.message(f"{name} is left out: {error}")
        return work.record.update_candidate(name, status="diverged", note=str(error))
    rate = result["updates_per_second"]
    return work.record.update_candidate(name, status="finished", seconds_per_update=1.0 / rate if rate else None)


def _judge(work: Tune, selector: Selector) -> None:
    """The selection among those that were trained."""
    work.stop_if_asked()
    entries = work.record.content["candidates"]
    trained = [work.run(name) for name, entry in entries.items() if entry["status"] == "finished"]
    if not trained:
        raise DivergedError("every candidate diverged, so there is nothing to select from; see the notes in tune.json")
    with work.record.timed("judgement"):
        folder = work.record.folder
        settings = work.candidates.ope
        selection = selector(trained, settings=settings, root=folder, out=folder, reporter=work.reporter)
    work.record.update(status="finished", selection=summary(selection, entries))


def summary(selection: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What of a selection a tune shows; selection.json, which lies beside it, holds the whole of it.

    Each line of the ranking has the updates of its candidate and the 95% interval of its value by fitted Q.
    """
    judged = {(each["run"], each["seed"]): each["estimates"]["fqe"] for each in selection["candidates"]}
    ranking = []
    for line in selection["ranking"]:
        value = judged.get((line["run"], line["seed"]), selection["behaviour"])
        updates = entries[line["label"]]["updates"] if line["label"] in entries else None
        ranking.append({**line, "updates": updates, "low": value["low"], "high": value["high"]})
    kept = {key: selection[key] for key in ("selected", "reason", "discount", "behaviour")}
    return {"ranking": ranking, **kept}
