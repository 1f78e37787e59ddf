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


def judgements(run: RunDirectory, seed: int, reporter: Reporter) -> dict[str, Any]:
    """`log`: of `orl ope` and `orl select` (RUN/ope), None without; `simulator`: of the training and `orl evaluate`.

    All of the policy at the end of the training. What is damaged is told and left out.
    """
    file = run.path / "ope" / f"{seed}.json"
    log = _read(file, _by_the_log, reporter) if file.is_file() else None
    index = run.record["seeds"].index(seed)
    played = [
        _read(each, lambda document: _by_the_simulator(document, index), reporter)
        for each in sorted((run.path / "eval").glob("*.json"))
    ]
    return {"log": log, "simulator": [*_while_training(run, index), *(each for each in played if each is not None)]}


def _while_training(run: RunDirectory, index: int) -> list[dict[str, Any]]:
    """The evaluation at the end of the training, where there was one."""
    score, environment = run.record.get("result", {}).get("score"), run.record["dataset"].get("env_id")
    if score is None:
        return []
    found = {"environment": str(environment), "episodes": score["episodes"], "by": "at the end of the training"}
    return [found | {"score": score["per_seed"][index], "normalised": score["normalised"]}]


def _read(file: Path, picked: Callable[[dict[str, Any]], dict[str, Any]], reporter: Reporter) -> dict[str, Any] | None:
    try:
        return picked(read_json(file))
    except STRANGE as error:
        reporter.message(f"note: {file} is left out of the card, it is no such document ({error!r})")
        return None


def _by_the_log(document: dict[str, Any]) -> dict[str, Any]:
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


def _by_the_simulator(document: dict[str, Any], index: int) -> dict[str, Any]:
    return {
        "environment": str(document["environment"]),
        "episodes": int(document["episodes"]),
        "by": f"`orl evaluate`, reset seed {int(document['evaluation_seed'])}",
        "score": _number(document["score"]["per_seed"][index]),
        "normalised": bool(document["score"]["normalised"]),
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
