"""bc beside every score: taken from what was asked for, else judged once per dataset, never in the way of a result."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orl.errors import DataError
from orl_cli.evaluate import put_bc_beside


def run(fingerprint: str, history: int = 0) -> SimpleNamespace:
    return SimpleNamespace(record={"fingerprint": fingerprint}, history=history)


def document(algorithm: str, score: float) -> dict:
    return {"algorithm": algorithm, "run": algorithm, "score": score, "best_score": score + 1, "returns": []}


def test_each_dataset_gets_its_own_bc_judged_once() -> None:
    """A bc among the runs serves its own dataset; another dataset's is asked for once."""
    documents = [document("mopo", 9.0), document("bc", 1.0), document("mopo", 8.0), document("combo", 7.0)]
    asked: list[str] = []

    def judge(one: SimpleNamespace) -> dict:
        asked.append(one.record["fingerprint"])
        return document("bc", 2.0)

    put_bc_beside([run("a"), run("a"), run("b"), run("b")], documents, judge)
    assert asked == ["b"]
    assert [each["bc"]["score"] for each in documents] == [1.0, 1.0, 2.0, 2.0]
    assert documents[0]["bc"] == {"run": "bc", "score": 1.0, "best_score": 2.0}


def test_a_missing_dataset_costs_only_the_yardstick(capsys: pytest.CaptureFixture[str]) -> None:
    """The evaluated policy is still reported; stderr says why bc is not."""

    def judge(one: SimpleNamespace) -> dict:
        raise DataError("no file log.npz; check the path")

    documents = [document("mopo", 9.0)]
    put_bc_beside([run("a")], documents, judge)
    assert "bc" not in documents[0]
    assert capsys.readouterr().err == "orl: note: no bc beside mopo: no file log.npz; check the path\n"


def test_a_run_with_a_history_is_held_against_bc_with_the_same() -> None:
    """Three runs on the same data, two of which see the past: one bc for each history, judged once."""
    documents = [document("mopo", 9.0), document("mopo", 8.0), document("cql", 7.0)]
    asked: list[int] = []

    def judge(one: SimpleNamespace) -> dict:
        asked.append(one.history)
        return document("bc", float(one.history))

    put_bc_beside([run("a"), run("a", 2), run("a", 2)], documents, judge)
    assert asked == [0, 2]
    assert [each["bc"]["score"] for each in documents] == [0.0, 2.0, 2.0]
