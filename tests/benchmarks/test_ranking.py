"""What the study of the offline choice says of an order, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orl_bench.ranking import STUDY, _below, compare, summary

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

TRUE = {"a": 80.0, "b": 95.0, "c": 10.0, "d": -5.0}


def selection(selected: str | None, d_score: float | None = -9.0) -> dict[str, Any]:
    scores = {"a": 3.0, "b": 2.0, None: 1.5, "c": 1.0, "d": d_score}
    lines = [
        {"run": run, "label": run or "behaviour", "score": score, "improvement": None if score is None else score - 1.5}
        for run, score in scores.items()
    ]
    return {"ranking": lines, "selected": selected and {"run": selected}}


def test_an_order_is_held_against_the_simulators() -> None:
    """Ranks 1 2 3 4 against 2 1 3 4: 1 - 6 * 2 / (4 * 15); the behaviour takes no part."""
    found = compare(selection("a"), TRUE, behaviour=40.0)
    assert found["rank_correlation"] == pytest.approx(0.8)
    assert found["regret"] == pytest.approx(15.0)
    assert found["regret_of_first"] == pytest.approx(15.0)
    assert [line["true_score"] for line in found["candidates"]] == [80.0, 95.0, 10.0, -5.0]
    assert (found["certified"], found["certified_wrongly"]) == (2, 0)


def test_a_certificate_is_wrong_where_the_simulator_shows_no_gain() -> None:
    """a and b are surely better by the log; of the behaviour's 80 only b is."""
    found = compare(selection("a"), TRUE, behaviour=80.0)
    assert (found["certified"], found["certified_wrongly"]) == (2, 1)


def test_a_candidate_without_a_score_comes_last() -> None:
    assert compare(selection("a", None), TRUE, 40.0)["rank_correlation"] == pytest.approx(0.8)


def test_to_keep_the_behaviour_costs_what_the_best_candidate_had_gained() -> None:
    assert compare(selection(None), TRUE, behaviour=40.0)["regret"] == pytest.approx(55.0)
    assert compare(selection(None), TRUE, behaviour=99.0)["regret"] == 0.0


def test_a_summary_takes_the_mean_and_the_worst() -> None:
    studies = [
        {"rank_correlation": 0.8, "regret": 1.0, "certified": 3, "certified_wrongly": 1},
        {"rank_correlation": 0.4, "regret": 6.0, "certified": 2, "certified_wrongly": 0},
    ]
    found = summary(studies)
    assert found["mean_rank_correlation"] == pytest.approx(0.6)
    assert found["least_rank_correlation"] == pytest.approx(0.4)
    assert found["mean_regret"] == pytest.approx(3.5)
    assert found["largest_regret"] == pytest.approx(6.0)
    assert (found["certified"], found["certified_wrongly"]) == (5, 1)


def test_runs_are_named_from_the_studys_folder_on() -> None:
    first = {"run": "/here/study/log/candidates/a"}
    found = {"candidates": [first, {"run": "/here/study/log/candidates/b"}], "selected": first}
    assert _below(Path("/here/study"), found) == {
        "candidates": [{"run": "log/candidates/a"}, {"run": "log/candidates/b"}],
        "selected": {"run": "log/candidates/a"},
    }
    assert _below(Path("/here/study"), {"candidates": [], "selected": None})["selected"] is None


def test_the_kept_study_is_of_all_logs_and_says_what_its_figures_give() -> None:
    """The figures of docs/judging.md, from the true and the offline scores that were kept."""
    kept = json.loads((RESULTS / "ranking.json").read_text())
    assert [each["dataset"] for each in kept["studies"]] == list(STUDY)
    assert all(len(each["candidates"]) >= 12 for each in kept["studies"])
    again = []
    for each in kept["studies"]:
        true = {line["run"]: line["true_score"] for line in each["candidates"]}
        again.append(
            compare({"ranking": each["candidates"], "selected": each["selected"]}, true, each["behaviour_true_score"])
        )
    assert summary(again) == kept["summary"] == summary(kept["studies"])
    assert kept["summary"]["mean_rank_correlation"] >= 0.6
    assert kept["summary"]["least_rank_correlation"] >= 0.3
    assert kept["summary"]["mean_regret"] <= 5.0
    assert kept["summary"]["largest_regret"] <= 10.0
