"""`orl ope` and `orl select` on tiny pendulum runs: their documents, what is kept, and what is not computed twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_settings import settings

from orl.runs import ope as judging

TINY = ["ope.fqe.hidden=[8]", "ope.fqe.updates=20", "ope.fqe.members=2", "ope.behaviour.hidden=[8]"]
TINY += ["ope.behaviour.updates=20", "ope.behaviour.checks=2", "ope.model_starts=3", "ope.model_horizon=5"]
WORDS = settings(TINY)
METHODS = {"fqe", "doubly_robust", "weighted_doubly_robust", "weighted_importance", "per_decision_importance"}


@pytest.fixture(scope="module")
def runs(mopo: dict[str, Any], cloned: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of a mopo run and of a bc run of two seeds."""
    root = tmp_path_factory.mktemp("judged") / "runs" / "tiny"
    shutil.copytree(mopo["run"], root / "mopo")
    shutil.copytree(cloned["run"], root / "bc")
    return root


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The candidates that are computed, by label."""
    computed: list[str] = []
    compute = judging.judge_candidate

    def count(candidate: Any, *rest: Any) -> dict[str, Any]:
        computed.append(candidate.label)
        return compute(candidate, *rest)

    monkeypatch.setattr(judging, "judge_candidate", count)
    return computed


@pytest.fixture(scope="module")
def judged(orl: Callable[..., Any], runs: Path) -> dict[str, Any]:
    """The document of `orl ope` of all three candidates."""
    done = orl("ope", runs / "mopo", runs / "bc", "--runs", runs.parent, "--json", *WORDS)
    assert done.code == 0, done.err
    return done.document


def test_every_seed_is_a_candidate_with_all_estimates(judged: dict[str, Any], runs: Path) -> None:
    assert (judged["schema"], judged["kind"]) == (1, "ope")
    assert judged["run"] == [str(runs / "mopo"), str(runs / "bc")]
    assert judged["settings"]["fqe"]["updates"] == 20
    of_mopo, of_bc, of_other_bc = judged["candidates"]
    assert (of_mopo["label"], of_bc["label"], of_other_bc["label"]) == ("mopo", "bc seed 0", "bc seed 1")
    assert set(of_mopo["estimates"]) == METHODS | {"model", "penalised_model"}
    assert (of_mopo["model"], of_mopo["left_out"]) == (str(runs / "mopo" / "model"), {})
    for each in judged["candidates"]:
        fqe, behaviour = each["estimates"]["fqe"], each["behaviour"]
        assert fqe["low"] < fqe["value"] < fqe["high"]
        assert fqe["improvement"]["value"] == pytest.approx(fqe["value"] - behaviour["value"])
        assert behaviour["low"] < behaviour["value"] < behaviour["high"] < 0.0
        assert (behaviour["episodes"], behaviour["cut"]) == (8, 8)
        assert behaviour["tail_weight"] == pytest.approx(0.99**200)
        assert behaviour["value"] < behaviour["logged"]  # every further step of a pendulum costs
        assert each["support"]["episodes"] == 8
        assert each["verdict"]["kind"] in ("agree", "disagree", "outside the data: do not trust")


def test_bc_is_judged_in_the_model_that_another_candidate_has(judged: dict[str, Any], runs: Path) -> None:
    _, of_bc, _ = judged["candidates"]
    assert of_bc["model"] == str(runs / "mopo" / "model")
    assert of_bc["estimates"]["penalised_model"]["value"] < of_bc["estimates"]["model"]["value"]
    plain = of_bc["undiscounted"]
    assert plain["penalised_model"] < plain["model"] < 0.0
    assert plain["behaviour"] == of_bc["behaviour"]["undiscounted"] < of_bc["behaviour"]["logged"]


def test_without_a_model_its_estimates_are_left_out_and_said(
    orl: Callable[..., Any], runs: Path, tmp_path: Path
) -> None:
    done = orl("ope", runs / "bc", "--seed", 0, "--runs", tmp_path, "--json", *WORDS)
    (only,) = done.document["candidates"]
    assert set(only["estimates"]) == METHODS
    assert set(only["left_out"]) == {"model", "penalised_model"}
    assert "orl fit-model" in only["left_out"]["model"]
    assert only["model"] is None


def test_a_second_call_computes_nothing(
    orl: Callable[..., Any], judged: dict[str, Any], runs: Path, counted: list[str]
) -> None:
    words = ("ope", runs / "mopo", runs / "bc", "--runs", runs.parent, "--json", *WORDS)
    orl(*words)  # another test may have judged with other settings in between
    counted.clear()
    again = orl(*words).document
    assert counted == []
    assert again["candidates"] == judged["candidates"]


def test_other_settings_policies_or_force_are_computed_anew(
    orl: Callable[..., Any], judged: dict[str, Any], runs: Path, counted: list[str]
) -> None:
    words = ("ope", runs / "mopo", "--runs", runs.parent, "--json", *WORDS)
    orl(*words)
    counted.clear()
    orl(*words, "--judge-seed", 1)
    orl(*words, "--judge-seed", 1, "--force")
    orl(*words, "--judge-seed", 1, "--discount", 0.9)
    assert counted == ["mopo"] * 3
    orl(*words)
    assert counted == ["mopo"] * 4


def test_a_damaged_file_is_computed_again_and_mended(
    orl: Callable[..., Any], judged: dict[str, Any], runs: Path, counted: list[str]
) -> None:
    words = ("ope", runs / "mopo", "--runs", runs.parent, "--json", *WORDS)
    orl(*words)
    counted.clear()
    file = runs / "mopo" / "ope" / "0.json"
    file.write_text(file.read_text()[:100])
    done = orl(*words)
    assert done.code == 0
    assert "0.json is not valid JSON" in done.err
    assert "computed again" in done.err
    assert counted == ["mopo"]
    assert json.loads(file.read_text())["candidate"]["algorithm"] == "mopo"


def test_a_stopped_call_keeps_what_it_found_and_goes_on(
    orl: Callable[..., Any], judged: dict[str, Any], runs: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped as soon as the first of two seeds is judged; the next call begins with the second."""

    @contextmanager
    def stop_after_one() -> Iterator[Callable[[], bool]]:
        yield lambda: len(counted) == 1

    words = ("ope", runs / "bc", "--runs", runs.parent, "--json", *WORDS, "--judge-seed", 5)
    with monkeypatch.context() as patch:
        patch.setattr(judging, "stop_requested", stop_after_one)
        done = orl(*words)
    assert (done.code, done.out, counted) == (75, "", ["bc seed 0"])
    assert "stopped after 1 of 2 policies; the same command goes on" in done.err
    assert orl(*words).code == 0
    assert counted == ["bc seed 0", "bc seed 1"]


def test_select_takes_what_ope_kept_and_names_one_or_none(
    orl: Callable[..., Any], judged: dict[str, Any], runs: Path, counted: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import gymnasium

    orl("ope", runs / "mopo", runs / "bc", "--runs", runs.parent, *WORDS)
    counted.clear()

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a simulator was made")

    monkeypatch.setattr(gymnasium, "make", forbidden)
    done = orl("select", runs / "mopo", "--runs", runs.parent, "--out", tmp_path / "out", "--json", *WORDS)
    assert done.code == 0, done.err
    document = done.document
    assert (document["kind"], document["discount"]) == ("selection", 0.99)
    labels = [line["label"] for line in document["ranking"]]
    assert sorted(labels) == ["bc seed 0", "bc seed 1", "behaviour", "mopo"]
    assert counted == []
    assert document["selected"] is None or document["selected"]["label"] in labels
    assert document["reason"]
    by_label = {each["label"]: each["estimates"] for each in document["candidates"]}
    for line in document["ranking"]:
        if line["witness"] is not None:
            assert line["improvement"] <= by_label[line["label"]][line["witness"]]["improvement"]["least"]
            assert line["score"] <= line["improvement"]
    assert json.loads((tmp_path / "out" / "selection.json").read_text()) == document


def test_tables_show_values_and_verdicts(orl: Callable[..., Any], judged: dict[str, Any], runs: Path) -> None:
    done = orl("ope", runs / "mopo", "--runs", runs.parent, "-v", *WORDS)
    assert done.code == 0
    for words in ("mopo · discount 0.99", "fitted Q", "doubly robust", "model, penalised", "verdict: "):
        assert words in done.out
    assert f"{judged['candidates'][0]['estimates']['fqe']['value']:.4g}" in done.out
    done = orl("select", runs / "mopo", "--runs", runs.parent, *WORDS)
    assert done.code == 0
    assert "behaviour" in done.out
    assert "better by at least" in " ".join(done.out.split()) or "better by" in done.out


def test_wrong_calls_end_with_one_line(
    orl: Callable[..., Any], runs: Path, mopo: dict[str, Any], plain_log: Path, tmp_path: Path
) -> None:
    for words, code, text in (
        (["ope", tmp_path], 3, "is not a run folder"),
        (["ope", runs / "mopo" / "model"], 3, "one of kind policy is needed here"),
        (["ope", runs / "bc", "--seed", 7], 2, "holds the seeds [0, 1], not 7"),
        (["ope", runs / "bc", "--folds", 9, *WORDS], 3, "too few for 9 folds"),
        (["ope", runs / "bc", "--discount", 1.0], 2, "setting ope.discount = 1.0: input should be less than 1"),
        (["ope", runs / "bc", "--set", "ope.fold=2"], 2, "unknown setting ope.fold"),
        (["select", runs / "bc", runs / "bc"], 2, "named twice"),
        (["select", runs / "bc", "--out", plain_log], 2, "choose another with --out"),
    ):
        done = orl(*words)
        lines = [line for line in done.err.splitlines() if line.startswith("orl: ") and "note" not in line]
        assert (done.code, done.out, len(lines)) == (code, "", 1), done.err
        assert text in lines[0]
