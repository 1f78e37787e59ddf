"""`orl tune` from the inside: its plan, its order, what it keeps when it is stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.errors import DivergedError, Interrupted, UsageError
from orl.runs import tune as tuning
from orl.runs.budget import Cost
from orl.runs.candidate_file import read_candidates
from orl.runs.candidates import CandidateSet
from orl.runs.reporter import Reporter
from orl.runs.tune import tune
from orl.runs.tune_plan import (
    Lateness,
    Measured,
    affordable_epochs,
    allot,
    first_plan,
    lateness,
    measure,
    plan_document,
)
from orl.runs.tune_record import Ticking, open_tune

TINY = """
[shared]
history = 0
model = { hidden = [8], weight_decay = [0, 0], members = 3, elites = 2, max_epochs = 2 }
agent = { hidden = [8], batch_size = 16, rollout_batch = 16, rollout_length = 2, real_ratio = 0.5 }
train = { epoch_steps = 10, checkpoint_every = 1 }

[[candidate]]
name = "bc"
algo = "bc"
steps = 30

[[candidate]]
name = "mopo"
algo = "mopo"
steps = 20
"""


class Recorder(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


class Chooser:
    """A selection that names the last run, and remembers which it was given."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(
        self, paths: Sequence[Path], *, settings: Any, root: Path, out: Path, reporter: Reporter
    ) -> dict[str, Any]:
        self.calls.append([path.name for path in paths])
        who = [{"run": str(path), "seed": 0, "label": path.name} for path in paths]
        own = {"run": None, "seed": None, "label": "behaviour"}
        figures = {"score": 1.0, "improvement": 0.5, "value": 2.0, "verdict": "agree"}
        document = {
            "ranking": [{**each, **figures} for each in [*who[::-1], own]],
            "selected": who[-1],
            "reason": "it is the last",
            "discount": 0.99,
            "behaviour": {"value": 1.0, "low": 0.5, "high": 1.5},
            "candidates": [{**each, "estimates": {"fqe": {"low": 1.5, "high": 2.5}}} for each in who],
        }
        (out / "selection.json").write_text(json.dumps(document))
        return document


@pytest.fixture
def tiny(tmp_path: Path) -> CandidateSet:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return read_candidates(file)


@pytest.fixture(scope="module")
def data(pendulum_log: str) -> Dataset:
    return load(pendulum_log)


@pytest.fixture
def no_timing(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Costs that are stated instead of measured."""
    costs = {"bc": Cost(1.0, 0.01), "mopo": Cost(2.0, 0.1), "cql": Cost(2.0, 0.1)}
    measured = Measured(0, "stated", 2, 0.5, costs, dict.fromkeys(costs, 10))
    monkeypatch.setattr(tuning, "measure", lambda *arguments: measured)
    return measured


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch, no_timing: Measured) -> list[str]:
    """Fits and trainings that only write a record; what was called, and with how many updates."""
    called: list[str] = []

    def fit(dataset: Dataset, config: Any, path: Path, **more: Any) -> dict[str, Any]:
        called.append(f"{path.name} {config.model.max_epochs}")
        return write(path, {})

    def train(dataset: Dataset, config: Any, path: Path, **more: Any) -> dict[str, Any]:
        called.append(f"{path.name} {config.train.steps}")
        return write(path, {"updates_per_second": 100.0})

    def write(path: Path, document: dict[str, Any]) -> dict[str, Any]:
        path.mkdir(parents=True)
        (path / "run.json").write_text(json.dumps({"schema": 1, "kind": "any", "status": "finished"}))
        return document

    monkeypatch.setattr(tuning, "fit_model", fit)
    monkeypatch.setattr(tuning, "train_policy", train)
    return called


def entries(candidates: CandidateSet, **changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    fresh = {"status": "waiting", "updates": None, "seconds": 0.0, "seconds_per_update": None}
    return {each.name: fresh | changes.get(each.name, {}) for each in candidates.candidate}


def test_the_plan_holds_back_the_judgement_and_the_longest_fit(tiny: CandidateSet) -> None:
    """13.5 s, of which 20% are kept and 1 + 1 s are spent: 8.8 s. 30 + 20 updates take 1.3 + 4 s."""
    measured = Measured(0, "stated", 2, 0.5, {"bc": Cost(1.0, 0.01), "mopo": Cost(2.0, 0.1)}, {"bc": 10, "mopo": 10})
    assert first_plan(tiny, measured, 13.5, 1.0) == {"bc": 30, "mopo": 20}
    # 6.5 s hold 5.2 less 2 of them: bc's minimum is all it wants, and mopo's too, so mopo is left out
    assert first_plan(tiny, measured, 6.5, 1.0) == {"bc": 30, "mopo": None}
    document = plan_document(tiny, measured, 6.5, 1.0)
    assert document["model"] == {"max_epochs": 2, "seconds": 1.0}
    assert [row["seconds"] for row in document["candidates"]] == [pytest.approx(1.3), None]
    assert document["judgement_seconds"] == pytest.approx(1.3)
    json.dumps(document, allow_nan=False)


def test_the_first_candidate_is_trained_whatever_the_time(tiny: CandidateSet) -> None:
    measured = Measured(0, "stated", 2, 0.5, {"bc": Cost(1.0, 0.01), "mopo": Cost(2.0, 0.1)}, {"bc": 10, "mopo": 10})
    assert first_plan(tiny, measured, 0.1, 5.0) == {"bc": 30, "mopo": None}
    assert allot(tiny, measured, 0.1, 5.0, tiny.candidate[1:], entries(tiny)) == [None]


def test_what_finished_trainings_took_corrects_the_costs(tiny: CandidateSet) -> None:
    """bc: 100 updates at 20 instead of 10 ms, and 3 s beside them where 1 was expected: twice the time, 2 s later."""
    measured = Measured(0, "stated", None, 0.0, {"bc": Cost(1.0, 0.01), "mopo": Cost(2.0, 0.1)}, {"bc": 10, "mopo": 10})
    done = {"status": "finished", "updates": 100, "seconds": 5.0, "seconds_per_update": 0.02}
    late = lateness(measured, entries(tiny, bc=done))
    assert (late.pace, late.overhead) == (pytest.approx(2.0), pytest.approx(2.0))
    assert late.correct(Cost(2.0, 0.1)) == (pytest.approx(4.0), pytest.approx(0.2))
    assert lateness(measured, entries(tiny)) == Lateness(1.0, 0.0)
    # 20 updates of mopo now take 4 + 4 s; without the correction they would take 4
    assert allot(tiny, measured, 10.0, 0.1, tiny.candidate[1:], entries(tiny, bc=done)) == [None]
    assert allot(tiny, measured, 10.0, 0.0, tiny.candidate[1:], entries(tiny, bc=done)) == [20]


def test_candidates_of_different_discounts_are_refused_before_anything_is_measured(
    data: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(TINY + "set = { agent.discount = 0.9 }\n" + '[[candidate]]\nname = "cql"\nalgo = "cql"\n')
    with pytest.raises(UsageError, match=r"agent\.discount is 0\.9 for mopo and 0\.99 for cql; candidates"):
        measure(data, read_candidates(file), 60.0, Reporter(), lambda: None)


def test_epochs_of_the_fit_that_its_share_holds() -> None:
    assert [affordable_epochs(seconds, 2.0, 30) for seconds in (540.0, 41.0, 1.0)] == [30, 20, 1]


def test_the_document_shows_the_ranking_with_updates_and_intervals(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, no_training: list[str]
) -> None:
    chooser, reporter, folder = Chooser(), Recorder(), tmp_path / "tune"
    document = tune(data, tiny, folder, seconds=3600.0, reporter=reporter, selector=chooser)
    assert document["selection"]["selected"] == json.loads((folder / "selection.json").read_text())["selected"]
    lines = document["selection"]["ranking"]
    assert [(line["label"], line["updates"], line["low"], line["high"]) for line in lines] == [
        ("mopo", 20, 1.5, 2.5),
        ("bc", 30, 1.5, 2.5),
        ("behaviour", None, 0.5, 1.5),
    ]
    assert set(document["seconds_by_stage"]) == {"preparation", "model", "training", "judgement"}
    assert "updates that the budget holds: bc 30, mopo 20" in reporter.said
    assert (document["history"], document["budget_seconds"]) == (0, 3600.0)


def test_what_an_entry_says_reaches_its_training_and_no_simulator_does(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: list[str]
) -> None:
    file, folder = tmp_path / "set.toml", tmp_path / "tune"
    file.write_text(TINY + 'init = "bc"\npenalty = "calibrated"\nshare = 0.8\n')
    train, seen = tuning.train_policy, []

    def watched(*arguments: Any, **more: Any) -> Any:
        seen.append([more[key] for key in ("simulator", "model", "init", "penalty_share")])
        return train(*arguments, **more)

    monkeypatch.setattr(tuning, "train_policy", watched)
    tune(data, read_candidates(file), folder, seconds=3600.0, selector=Chooser())
    assert seen == [[False, None, None, None], [False, folder / "model", folder / "candidates" / "bc", 0.8]]


def test_stopped_between_any_two_stages_and_gone_on_with_gives_the_same_folder(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: list[str]
) -> None:
    """A stop is asked for after the fit, after bc, and after mopo; every time the same call goes on from there."""
    whole, parts, chooser = tmp_path / "whole", tmp_path / "parts", Chooser()
    uninterrupted = tune(data, tiny, whole, seconds=3600.0, selector=chooser)
    assert no_training == ["model 2", "bc 30", "mopo 20"]
    left = ["model 2", "bc 30", "mopo 20"]

    def stop_after_one_stage(work: Any) -> None:
        if no_training:
            raise Interrupted("stopped; the same command goes on")

    monkeypatch.setattr(tuning.Tune, "stop_if_asked", stop_after_one_stage)
    while left:
        no_training.clear()
        with pytest.raises(Interrupted, match="the same command goes on"):
            tune(data, tiny, parts, seconds=3600.0, selector=chooser)
        assert no_training == [left.pop(0)]
        assert json.loads((parts / "tune.json").read_text())["status"] == "interrupted"
    no_training.clear()
    resumed = tune(data, tiny, parts, seconds=3600.0, selector=chooser)
    assert no_training == []
    assert chooser.calls == [["bc", "mopo"]] * 2
    assert resumed["selection"]["reason"] == uninterrupted["selection"]["reason"] == "it is the last"
    assert tune(data, tiny, parts, seconds=3600.0, selector=chooser) == resumed
    assert (no_training, len(chooser.calls)) == ([], 2)
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (parts, whole)]
    assert names[0] == names[1]
    kept = [json.loads((folder / "tune.json").read_text()) for folder in (parts, whole)]
    for content in kept:
        content.pop("seconds")
        content.pop("selection")  # names the folders
        for entry in content["candidates"].values():
            assert entry.pop("seconds") > 0
    assert kept[0] == kept[1]


def test_updates_of_a_candidate_that_has_begun_are_kept(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: list[str]
) -> None:
    """Stopped in the middle of mopo; that hours have passed changes cql, which had not begun, and not mopo."""
    file, folder = tmp_path / "three.toml", tmp_path / "tune"
    file.write_text(TINY + '[[candidate]]\nname = "cql"\nalgo = "cql"\nsteps = 50\n')
    three = read_candidates(file)
    train = tuning.train_policy

    def stopped_in_mopo(dataset: Dataset, config: Any, path: Path, **more: Any) -> Any:
        if config.algorithm == "mopo":
            raise Interrupted("stopped after 1 of 2 epochs")
        return train(dataset, config, path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "train_policy", stopped_in_mopo)
        with pytest.raises(Interrupted):
            tune(data, three, folder, seconds=60.0, selector=Chooser())
    content = json.loads((folder / "tune.json").read_text())
    begun = {name: (entry["status"], entry["updates"]) for name, entry in content["candidates"].items()}
    assert begun == {"bc": ("finished", 30), "mopo": ("running", 20), "cql": ("waiting", None)}
    content["seconds"]["training"] += 7200.0
    (folder / "tune.json").write_text(json.dumps(content))
    reporter, chooser = Recorder(), Chooser()
    document = tune(data, three, folder, seconds=60.0, reporter=reporter, selector=chooser)
    assert no_training == ["model 2", "bc 30", "mopo 20"]
    assert [(row["name"], row["status"], row["updates"]) for row in document["candidates"]] == [
        ("bc", "finished", 30),
        ("mopo", "finished", 20),
        ("cql", "dropped", None),
    ]
    assert "cql is left out: the time left does not hold 2000 updates of it" in reporter.said
    assert chooser.calls == [["bc", "mopo"]]
    assert document["seconds"] > 7200


def test_a_candidate_that_diverges_is_left_out(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: list[str]
) -> None:
    train_policy = tuning.train_policy

    def train(dataset: Dataset, config: Any, *arguments: Any, **more: Any) -> Any:
        if config.algorithm in failing:
            raise DivergedError("training diverged by step 10")
        return train_policy(dataset, config, *arguments, **more)

    monkeypatch.setattr(tuning, "train_policy", train)
    failing, chooser = {"mopo"}, Chooser()
    document = tune(data, tiny, tmp_path / "one", seconds=3600.0, selector=chooser)
    assert [(row["status"], row["note"]) for row in document["candidates"]] == [
        ("finished", None),
        ("diverged", "training diverged by step 10"),
    ]
    assert chooser.calls == [["bc"]]
    failing = {"bc", "mopo"}
    with pytest.raises(DivergedError, match="every candidate diverged"):
        tune(data, tiny, tmp_path / "all", seconds=3600.0, selector=chooser)


def test_a_folder_of_another_request_is_refused_and_force_replaces_it(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, no_training: list[str]
) -> None:
    folder, chooser = tmp_path / "tune", Chooser()
    tune(data, tiny, folder, seconds=3600.0, selector=chooser)
    with pytest.raises(UsageError, match=r"holds another tune: budget_seconds is 3600\.0 there and 60\.0 now"):
        tune(data, tiny, folder, seconds=60.0, selector=chooser)
    file = tmp_path / "other.toml"
    file.write_text(TINY.replace("steps = 20", "steps = 10"))
    other = read_candidates(file)
    with pytest.raises(UsageError, match=r"candidates\.mopo\.steps is 20 there and 10 now; choose another folder"):
        tune(data, other, folder, seconds=3600.0, selector=chooser)
    assert len(chooser.calls) == 1
    replaced = tune(data, other, folder, seconds=3600.0, force=True, selector=chooser)
    assert [row["updates"] for row in replaced["candidates"]] == [30, 10]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="exists and is not the folder of a tune"):
        tune(data, tiny, tmp_path / "mine", seconds=60.0, force=True, selector=chooser)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_the_seconds_of_a_stage_are_written_down_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, a tune knows what it took up to ten seconds before the last report of progress; nothing counts twice."""
    now = [100.0]
    monkeypatch.setattr("orl.runs.tune_record.time.perf_counter", lambda: now[0])
    details = {"candidates": {"bc": {"seconds": 1.5}}}
    record = open_tune(tmp_path, {"budget_seconds": 60}, details, force=False)
    record.content["seconds"]["training"] = 1.5

    def known() -> tuple[float, float]:
        content = json.loads((tmp_path / "tune.json").read_text())
        return content["seconds"].get("training", 0.0), content["candidates"]["bc"]["seconds"]

    reporter = Ticking(Reporter(), record)
    with record.timed("training", "bc"):
        for passed, seen in ((4.0, (0.0, 1.5)), (7.0, (12.5, 12.5)), (9.0, (12.5, 12.5)), (1.0, (22.5, 22.5))):
            now[0] += passed
            reporter.advance(1, {})
            assert known() == seen
        now[0] += 3.0
    assert known() == (25.5, 25.5)
    now[0] += 50.0
    reporter.message("between two stages")
    assert (known(), record.spent) == ((25.5, 25.5), 25.5)
