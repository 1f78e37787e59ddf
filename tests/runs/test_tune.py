"""`orl tune` from the inside: its plan, its order, what it keeps when it is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl.data.catalog import load
from orl.data.episodes import Dataset
from orl.errors import DivergedError, Interrupted, UsageError
from orl.runs import tune as tuning
from orl.runs.budget import Cost
from orl.runs.candidate_file import read_candidates
from orl.runs.candidates import CandidateSet
from orl.runs.directory import load_run
from orl.runs.policy import stacked_params
from orl.runs.reporter import Reporter
from orl.runs.tune import tune
from orl.runs.tune_plan import Lateness, Measured, affordable_epochs, allot, first_plan, lateness, plan_document

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
    """A selection that names the last run, and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, paths: Sequence[Path], *, root: Path, out: Path, reporter: Reporter) -> dict[str, Any]:
        self.calls.append([path.name for path in paths])
        document = {"ranking": [path.name for path in paths], "selected": paths[-1].name, "reason": "it is the last"}
        out.write_text(json.dumps(document))
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
    costs = {"bc": Cost(1.0, 0.01), "mopo": Cost(2.0, 0.1)}
    measured = Measured(0, "stated", 2, 0.5, costs, {"bc": 10, "mopo": 10})
    monkeypatch.setattr(tuning, "measure", lambda *arguments: measured)
    return measured


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


def test_epochs_of_the_fit_that_its_share_holds() -> None:
    assert [affordable_epochs(seconds, 2.0, 30) for seconds in (540.0, 41.0, 1.0)] == [30, 20, 1]


def test_everything_is_trained_without_a_simulator_and_judged(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One model for all; the second call prints the same document and does nothing."""
    import gymnasium

    def refuse(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("a simulator was made")

    monkeypatch.setattr(gymnasium, "make", refuse)
    monkeypatch.setattr(gymnasium, "make_vec", refuse)
    chooser, reporter, folder = Chooser(), Recorder(), tmp_path / "tune"
    document = tune(data, tiny, folder, seconds=3600.0, reporter=reporter, selector=chooser)
    assert chooser.calls == [["bc", "mopo"]]
    assert document["selection"] == json.loads((folder / "selection.json").read_text())
    assert [(row["name"], row["status"], row["updates"]) for row in document["candidates"]] == [
        ("bc", "finished", 30),
        ("mopo", "finished", 20),
    ]
    assert load_run(folder / "model").record["result"]["epochs"] == 2
    model = load_run(folder / "candidates" / "mopo" / "model")
    assert model.record["result"] == load_run(folder / "model").record["result"]
    assert "score" not in load_run(folder / "candidates" / "mopo").record["result"]
    assert set(document["seconds_by_stage"]) == {"preparation", "model", "training", "judgement"}
    assert "updates that the budget holds: bc 30, mopo 20" in reporter.said
    again = tune(data, tiny, folder, seconds=3600.0, selector=chooser)
    assert (again, len(chooser.calls)) == (document, 1)


def test_stopped_after_any_stage_and_gone_on_with_gives_the_same_folder(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_timing: Measured
) -> None:
    """A stop is asked for after the fit, after bc, and after mopo; every time the same call goes on."""
    whole, parts, chooser = tmp_path / "whole", tmp_path / "parts", Chooser()
    uninterrupted = tune(data, tiny, whole, seconds=3600.0, selector=chooser)
    asked: list[bool] = []
    done: list[str] = []

    def stopping_after(name: str) -> None:
        original: Callable[..., Any] = getattr(tuning, name)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            result = original(*arguments, **more)
            done.append(f"{name} {arguments[2].name}")
            asked.append(True)
            return result

        monkeypatch.setattr(tuning, name, wrapped)

    monkeypatch.setattr(tuning.Tune, "stop_if_asked", stop_when(asked))
    stopping_after("fit_model")
    stopping_after("train_policy")
    for stage in (["fit_model model"], ["train_policy bc"], ["train_policy mopo"]):
        done.clear()
        with pytest.raises(Interrupted, match="the same command goes on"):
            tune(data, tiny, parts, seconds=3600.0, selector=chooser)
        assert done == stage
        assert json.loads((parts / "tune.json").read_text())["status"] == "interrupted"
    done.clear()
    resumed = tune(data, tiny, parts, seconds=3600.0, selector=chooser)
    assert done == []
    assert chooser.calls == [["bc", "mopo"]] * 2
    assert resumed["selection"] == uninterrupted["selection"]
    assert files(parts) == files(whole)
    for name in ("bc", "mopo"):
        ours, theirs = (stacked_params(load_run(folder / "candidates" / name)) for folder in (parts, whole))
        assert_same_bits(ours, theirs)
        metrics = [(folder / "candidates" / name / "metrics.jsonl").read_bytes() for folder in (parts, whole)]
        assert metrics[0] == metrics[1]


def stop_when(asked: list[bool]) -> Callable[[Any], None]:
    def stop_if_asked(work: Any) -> None:
        if asked:
            asked.clear()
            raise Interrupted("stopped; the same command goes on")

    return stop_if_asked


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints" not in path.parts)


def assert_same_bits(ours: Any, theirs: Any) -> None:
    import jax

    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    assert len(pairs) > 3
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def test_updates_of_a_candidate_that_has_begun_are_kept(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_timing: Measured
) -> None:
    """Stopped in the middle of bc; that hours have passed changes mopo, which had not begun, and not bc."""
    folder = tmp_path / "tune"

    def stopped(*arguments: Any, **more: Any) -> Any:
        raise Interrupted("stopped after 1 of 3 epochs")

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "train_policy", stopped)
        with pytest.raises(Interrupted):
            tune(data, tiny, folder, seconds=60.0, selector=Chooser())
    content = json.loads((folder / "tune.json").read_text())
    assert (content["candidates"]["bc"]["status"], content["candidates"]["bc"]["updates"]) == ("running", 30)
    assert content["candidates"]["mopo"]["updates"] is None
    content["seconds"]["training"] += 7200.0
    (folder / "tune.json").write_text(json.dumps(content))
    reporter, chooser = Recorder(), Chooser()
    document = tune(data, tiny, folder, seconds=60.0, reporter=reporter, selector=chooser)
    assert [(row["name"], row["status"], row["updates"]) for row in document["candidates"]] == [
        ("bc", "finished", 30),
        ("mopo", "dropped", None),
    ]
    assert "mopo is left out: the time left does not hold 2000 updates of it" in reporter.said
    assert chooser.calls == [["bc"]]
    assert document["seconds"] > 7200


def test_a_candidate_that_diverges_is_left_out(
    tiny: CandidateSet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_timing: Measured
) -> None:
    original = tuning.train_policy

    def train(dataset: Dataset, config: Any, *arguments: Any, **more: Any) -> Any:
        if config.algorithm in failing:
            raise DivergedError("training diverged by step 10")
        return original(dataset, config, *arguments, **more)

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
    tiny: CandidateSet, data: Dataset, tmp_path: Path, no_timing: Measured
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
