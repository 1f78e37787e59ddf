"""What was said of a policy before it is exported: judgements and evaluations that lie in its run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orl.errors import DataError
from orl.runs.directory import RunDirectory, read_json
from orl.runs.judged_document import verdict_of
from orl.runs.reporter import Reporter

STRANGE = (DataError, KeyError, TypeError, ValueError, AttributeError, IndexError)

Found = dict[str, Any] | None


def judgements(run: RunDirectory, seed: int, reporter: Reporter) -> dict[str, Any]:
    """`log`: of `orl ope` and `orl select` (RUN/ope), None without; `simulator`: of the training and `orl evaluate`.

    All of the policy at the end of the training. What is damaged is told and left out.
    """
    file, index = run.path / "ope" / f"{seed}.json", run.record["seeds"].index(seed)
    log = _picked(file, _by_the_log, reporter) if file.is_file() else None
    record = run.path / "run.json"
    played = [_picked(record, lambda document: _at_the_end(document, index), reporter)]
    for each in sorted((run.path / "eval").glob("*.json")):
        played.append(_picked(each, lambda document: _by_the_simulator(document, index), reporter))
    return {"log": log, "simulator": [each for each in played if each is not None]}


def _picked(file: Path, pick: Callable[[dict[str, Any]], Found], reporter: Reporter) -> Found:
    try:
        return pick(read_json(file))
    except STRANGE as error:
        reporter.message(f"note: what {file} says of the policy is left out of the card: {error!r}")
        return None


def _at_the_end(record: dict[str, Any], index: int) -> Found:
    """The evaluation at the end of the training, where there was one."""
    score = record.get("result", {}).get("score")
    if score is None:
        return None
    return {
        "environment": str(record["dataset"]["env_id"]),
        "episodes": int(score["episodes"]),
        "by": "at the end of the training",
        "score": _number(score["per_seed"][index]),
        "normalised": bool(score["normalised"]),
    }


def _by_the_log(document: dict[str, Any]) -> Found:
    found = document["candidate"]
    verdict, estimate, behaviour = verdict_of(found), found["estimates"]["fqe"], found["behaviour"]
    parts = ("value", "low", "high")
    return {
        "verdict": str(verdict.kind),
        "reason": str(verdict.reason),
        "discount": float(found["discount"]),
        "value": {name: _number(estimate[name]) for name in parts},
        "improvement": {name: _number(estimate["improvement"][name]) for name in parts},
        "behaviour": _number(behaviour["value"]),
    }


def _by_the_simulator(document: dict[str, Any], index: int) -> Found:
    return {
        "environment": str(document["environment"]),
        "episodes": int(document["episodes"]),
        "by": f"`orl evaluate`, reset seed {int(document['evaluation_seed'])}",
        "score": _number(document["score"]["per_seed"][index]),
        "normalised": bool(document["score"]["normalised"]),
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
