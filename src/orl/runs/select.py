"""`orl select`: the policy that is surely better than the behaviour by the log alone, or none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orl.config import as_tree
from orl.errors import UsageError
from orl.evaluation.ope.score import Choice, Contender, choose
from orl.files import saving
from orl.runs.directory import SCHEMA, versions, write_json
from orl.runs.judged import DISCOUNT, Candidate, open_candidates, same_data
from orl.runs.judged_document import certainty_of, model_is_heard
from orl.runs.judgement import finite
from orl.runs.ope import judge_candidates
from orl.runs.ope_config import OpeConfig
from orl.runs.reporter import Reporter
from orl.runs.yardstick import bc_on

REFUTED = (
    "the model contradicts fitted Q even on the clone of the behaviour, so no candidate is chosen or refused on its"
    " word; `orl diagnose` shows where it is wrong"
)


def select(
    paths: Sequence[Path],
    *,
    settings: OpeConfig | None = None,
    root: Path = Path("runs"),
    out: Path | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Rank every seed of policy runs, bc and the behaviour, and select one policy or none.

    The JSON document of `orl select` has `ranking`, best first, `selected` (`run`, `seed` and `label`, or None: keep
    the behaviour), `reason`, `behaviour`, and the whole judgements as `candidates`. No simulator is used.

    Args:
        settings: without a `discount` of theirs, the one that all policies were trained with, 0.99 where none has one.
        root: where bc is looked for, and trained if it is not there. out: folder to write selection.json into.

    Raises:
        DataError: as `ope`, or runs on different data. UsageError: policies of different discounts, or as `ope`.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    settings = settings or OpeConfig()
    candidates = open_candidates(paths, None, settings.discount, reporter)
    same_data(candidates)
    if out is not None:
        _make_folder(out)  # that it cannot be is better said before the work than after
    shared = settings.discount or common_discount(candidates)
    candidates = [each._replace(discount=shared) for each in with_bc(candidates, root, reporter)]
    judged = judge_candidates(candidates, settings, root=root, force=force, reporter=reporter)
    heard = model_is_heard(judged)
    if not heard:
        reporter.message(REFUTED)
    contenders = [contender(each, heard) for each in judged]
    choice = choose(contenders)
    document = {
        "schema": SCHEMA,
        "run": [each["run"] for each in judged],
        "kind": "selection",
        "dataset": candidates[0].run.record["dataset"]["name"],
        "discount": shared,
        "settings": as_tree(settings),
        "behaviour": judged[0]["behaviour"],
        "ranking": ranking(judged, contenders, choice),
        "selected": None if choice.selected is None else _who(judged[choice.selected]),
        "reason": choice.reason,
        "model_heard": heard,
        "candidates": judged,
        "versions": versions(),
        "seconds": time.perf_counter() - began,
    }
    if out is not None:
        write_json(out / "selection.json", document)
    return document


def with_bc(candidates: list[Candidate], root: Path, reporter: Reporter) -> list[Candidate]:
    """The candidates, with bc behind them if it is not among them: found below `root`, or trained there."""
    if any(each.config.algorithm == "bc" for each in candidates):
        return candidates
    run = candidates[0].run
    path = bc_on(run.record["fingerprint"], run.record["dataset"]["name"], root, reporter, run.history)
    return candidates + open_candidates([path], None, None, reporter)


def common_discount(candidates: Sequence[Candidate]) -> float:
    """The discount that all candidates were trained with, of those that were trained with one.

    Raises:
        UsageError: they differ.
    """
    own = {each.discount: each.label for each in candidates if hasattr(each.config.agent, "discount")}
    if len(own) > 1:
        (one, first), (other, second) = list(own.items())[:2]
        raise UsageError(
            f"{first} was trained at discount {one:g}, {second} at {other:g}; say with --discount at which to compare"
        )
    return next(iter(own), DISCOUNT)


def contender(document: dict[str, Any], model_heard: bool = True) -> Contender:
    """What the choice sees of a candidate's document."""
    return Contender(document["label"], certainty_of(document, model=model_heard), document["verdict"]["kind"])


def ranking(judged: list[dict[str, Any]], contenders: list[Contender], choice: Choice) -> list[dict[str, Any]]:
    """A line a candidate, best first; the behaviour stands where its score of 0, no improvement, puts it."""
    lines = [_line(judged[index], contenders[index]) for index in choice.order]
    own = {"run": None, "seed": None, "label": "behaviour", "score": 0.0, "improvement": 0.0, "witness": None}
    own |= {"value": judged[0]["behaviour"]["value"], "verdict": None}
    better = sum(each.certain.score > 0.0 for each in contenders)
    return [*lines[:better], own, *lines[better:]]


def _line(document: dict[str, Any], seen: Contender) -> dict[str, Any]:
    certain = seen.certain
    figures = {"score": finite(certain.score), "improvement": finite(certain.improvement), "witness": certain.witness}
    return _who(document) | figures | {"value": document["estimates"]["fqe"]["value"], "verdict": seen.verdict}


def _who(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("run", "seed", "label")}


def _make_folder(path: Path) -> None:
    with saving(path):
        path.mkdir(parents=True, exist_ok=True)
