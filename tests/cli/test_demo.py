"""`orl demo`: which policies it trains on which data, and what it says of them follows from their numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from orl.algorithms import ALGORITHMS
from orl.data import catalog
from orl.errors import Interrupted, MissingError
from orl.planning import PLANNERS
from orl.runs import directory, evaluate, model_supply, plan, train_policy
from orl.runs.report import write
from orl_cli.demo import DATASETS, METHODS, PLANNER
from orl_cli.demo_table import Row, lesson, standing, summary

METHODS_THERE = ["bc", "mbpo", "mopo", "morel", "combo", "mobrac", "cql"]


class Made:
    """Stands in for the library: keeps what it was asked for, and makes up results."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.stop_at: str | None = None
        result = {"holdout": {"rmse_over_persistence": 0.125, "cross_entropy": {"obs": 0.5}}}
        monkeypatch.setattr(catalog, "load", self.load)
        monkeypatch.setattr(directory, "load_run", lambda path: SimpleNamespace(record={"result": result}))
        monkeypatch.setattr(model_supply, "model_for", self.model_for)
        monkeypatch.setattr(model_supply, "supply_model", self.supply_model)
        monkeypatch.setattr(train_policy, "train_policy", self.train)
        monkeypatch.setattr(evaluate, "evaluate", self.evaluate)
        monkeypatch.setattr(plan, "plan", self.plan)
        self.reported: list[str] = []
        monkeypatch.setattr(write, "write_report", self.report)

    def report(self, paths: list[Path], out: Path, *, reporter: Any) -> None:
        self.reported = [path.name for path in paths]
        out.write_text("a page")

    def load(self, name: str, message: Any) -> Any:
        self.asked.append(("load", name))
        return SimpleNamespace(name=name, returns=np.array([10.0, 30.0]), reference=None, n_episodes=2)

    def model_for(self, data: Any, config: Any, root: Path, model: Any, reporter: Any) -> Any:
        self.asked.append(("model", config.dataset))
        return SimpleNamespace(path=root / "ensemble")

    def supply_model(self, data: Any, config: Any, root: Path, model: Any, kind: str, reporter: Any) -> Any:
        self.asked.append((kind, config.dataset))
        return SimpleNamespace(path=root / kind)

    def train(self, data: Any, config: Any, path: Path, **options: Any) -> None:
        self.asked.append((config.algorithm, data.name))
        if config.algorithm == self.stop_at:
            raise Interrupted("stopped after 3 of 20 epochs; the same command goes on")
        options["reporter"].start(f"training {config.algorithm}", 20, "epochs")
        options["reporter"].advance(20, {"q": 1.0})

    def evaluate(self, path: Path, *, episodes: int, reporter: Any) -> dict[str, Any]:
        return self.document(path.name.split("-")[0], str(path), episodes)

    def plan(self, data: Any, config: Any, path: Path, **options: Any) -> dict[str, Any]:
        self.asked.append((config.planner, data.name))
        return self.document(config.planner, str(path), options["episodes"]) | {"ms_per_action": {"median": 12.0}}

    def document(self, algorithm: str, run: str, episodes: int) -> dict[str, Any]:
        score = {"mean": 50.0, "ci95": [45.0, 55.0], "normalised": False}
        value = {"score": 80.0} if algorithm in ("mbpo", "mopo") else None
        return {"algorithm": algorithm, "run": run, "episodes": episodes, "score": score, "model_value": value}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The library's stand-in."""
    return Made(monkeypatch)


def test_a_method_of_each_kind_on_both_datasets_and_a_planner_on_one(
    orl: Callable[..., Any], tmp_path: Path, made: Made
) -> None:
    done = orl("demo", "--episodes", 8, "--runs", tmp_path, "--json", "--quiet")
    assert done.code == 0, done.err
    mixed, narrow = "orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0"
    first = [(each, mixed) for each in ("load", "model", *METHODS_THERE, "transformer", "beam")]
    assert made.asked == first + [(each, narrow) for each in ("load", "model", *METHODS_THERE)]
    document = done.document
    found = document["evaluations"]
    assert [each["episodes"] for each in found[mixed]] == [8] * 7 + [5]  # the planner plays fewer
    assert [each["episodes"] for each in found[narrow]] == [8] * 7
    assert document["run"] == [each["run"] for each in [*found[mixed], *found[narrow]]]
    rows = document["lessons"][mixed]["rows"]
    assert [row["policy"] for row in rows] == ["behaviour", *METHODS_THERE, "beam"]
    assert (rows[0]["true"], rows[0]["lesson"], rows[0]["low"], rows[0]["high"]) == (20.0, None, 10.0, 30.0)
    assert (rows[2]["gap"], rows[2]["lesson"]) == (30.0, "above the behaviour, level with bc, promised 30 too much")
    assert set(METHODS) <= set(ALGORITHMS)
    assert PLANNER in PLANNERS
    assert list(DATASETS) == [mixed, narrow]


def test_the_report_is_of_every_fit_and_policy(orl: Callable[..., Any], tmp_path: Path, made: Made) -> None:
    done = orl("demo", "--episodes", 2, "--runs", tmp_path, "--json", "--quiet")
    assert done.document["report"] == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "a page"
    policies = [f"{method}-s0" for method in METHODS_THERE]
    assert made.reported == ["ensemble", "transformer", "ensemble", *policies, "plan-beam-s0", *policies]


def test_without_what_draws_a_report_there_is_none(
    orl: Callable[..., Any], tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MissingError("reports need a package; pip install it")

    monkeypatch.setattr(write, "write_report", refuse)
    done = orl("demo", "--episodes", 2, "--runs", tmp_path, "--json")
    assert (done.code, done.document["report"]) == (0, None)
    assert "report done after 0:00: reports need a package; pip install it" in done.err


def test_a_line_a_stage_where_there_is_no_terminal(orl: Callable[..., Any], tmp_path: Path, made: Made) -> None:
    done = orl("demo", "--episodes", 2, "--runs", tmp_path)
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    assert lines[0] == "[1/21] mixed-v0 log …"
    assert lines[1].startswith("[1/21] mixed-v0 log done after 0:00: 2 episodes, mean return 20.0")
    assert "[2/21] mixed-v0 model done after 0:00: error 12.5% of predicting no change" in lines
    assert "training mopo: 20/20 epochs" in done.err
    assert "[5/21] mixed-v0 mopo done after 0:00: return 50.0, model says 80.0" in lines
    assert "[11/21] mixed-v0 beam done after 0:00: return 50.0, 12 ms an action" in lines
    assert all(len(line) <= 80 for line in done.out.splitlines()[:-2])  # but for those with folders
    assert done.out.endswith(f"report: {tmp_path / 'report.html'}\n")
    assert "mixed-v0 · 2 episodes a policy, one seed" in done.out


def test_a_stopped_demo_says_where_and_ends_with_75(orl: Callable[..., Any], tmp_path: Path, made: Made) -> None:
    made.stop_at = "morel"
    done = orl("demo", "--episodes", 2, "--runs", tmp_path)
    assert (done.code, done.out) == (75, "")
    assert "[6/21] mixed-v0 morel stopped after 0:00" in done.err
    assert done.err.endswith("orl: stopped after 3 of 20 epochs; the same command goes on\n")


BEHAVIOUR, BC = Row("behaviour", 40.0, 35.0, 45.0), Row("bc", 42.0, 38.0, 46.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (BC, "level with the behaviour"),
        (Row("cql", 50.0, 46.5, 53.0), "above behaviour and bc"),
        (Row("cql", 49.0, 45.5, 53.0), "above the behaviour, level with bc"),
        (Row("mbpo", 10.0, 5.0, 20.0, 90.0), "below behaviour and bc, promised 80 too much"),
        (Row("mopo", 80.0, 75.0, 85.0, 84.0), "above behaviour and bc, promise kept"),
        (Row("mopo", 80.0, 75.0, 85.0, 60.0), "above behaviour and bc, promised 20 too little"),
        (Row("mbpo", 44.0, 40.0, 48.0, None, True), "level with behaviour and bc, in its model it runs away"),
    ],
)
def test_what_a_policy_teaches(row: Row, said: str) -> None:
    assert lesson(row, BEHAVIOUR, BC) == said


def test_intervals_that_touch_say_nothing() -> None:
    assert standing(Row("x", 50.0, 45.0, 55.0), BEHAVIOUR) == "level with"
    assert standing(Row("x", 50.0, 45.1, 55.0), BEHAVIOUR) == "above"
    assert standing(Row("x", 30.0, 25.0, 34.9), BEHAVIOUR) == "below"


def test_a_dataset_as_a_whole() -> None:
    mbpo, mopo = Row("mbpo", 20.0, 15.0, 25.0, 90.0), Row("mopo", 60.0, 55.0, 65.0, 62.0)
    assert summary([BEHAVIOUR, BC, mbpo, mopo, Row("combo", 59.0, 54.0, 64.0, 50.0)]) == [
        "best: mopo with 60.0, above the behaviour's 40.0",
        "gap of mbpo, which trusts its model: +70.0; of those wary of the same model: mopo +2.0, combo -9.0",
        "promises above the truth's interval: mbpo",
    ]
    assert summary([BEHAVIOUR, BC, mopo._replace(policy="mbpo"), mopo._replace(model=None, blew_up=True)]) == [
        "best: mbpo with 60.0, above the behaviour's 40.0",
        "gap of mbpo, which trusts its model: +2.0; of those wary of the same model: mopo runs away",
        "promises above the truth's interval: mopo",
    ]
    assert summary([BEHAVIOUR, BC]) == ["best: bc with 42.0, level with the behaviour's 40.0"]
