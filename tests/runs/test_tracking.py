"""Trackers are told every metric once, resumed or not, and a run is the same without them."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from tiny_settings import TINY_AGENT, settings

from orl.errors import MissingError
from orl.runs.directory import RunDirectory
from orl.runs.model_supply import keep_run
from orl.runs.reporter import Reporter
from orl.runs.tracking import named, tracked

ROWS = [{"step": step, "seed": seed, "q": float(step + seed)} for step in (10, 20, 30) for seed in (0, 1)]


def events(folder: Path) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of every scalar in TensorBoard's files: records of length, checksum, bytes, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.*")):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                yield value.tag, event.step, value.simple_value


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    path = tmp_path / "mopo-s0"
    path.mkdir()
    (path / "config.toml").write_text('algorithm = "mopo"\n[agent]\ndiscount = 0.97\n')
    return RunDirectory(path, {})


def tell(run: RunDirectory, name: str, rows: list[dict[str, Any]]) -> None:
    """A call of a command that makes these rows."""
    with tracked(Reporter(), [name]) as reporter:
        for row in rows:
            run.append("metrics.jsonl", row)
            reporter.row(run, row)


def test_only_finite_metrics_are_named_and_by_seed() -> None:
    row = {"step": 3, "seed": 2, "q": 1, "loss": math.nan, "eval": math.inf, "note": "x", "none": None}
    assert named(row) == {"q/seed-2": 1.0}
    assert named({"step": 3, "nll": -1.5}) == {"nll": -1.5}


def test_a_resumed_run_tells_no_step_twice(run: RunDirectory) -> None:
    """The first call ends after step 20; the second goes on from a checkpoint after step 10."""
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    tell(run, "tensorboard", ROWS[:4])
    run.rewind(10)
    tell(run, "tensorboard", ROWS[2:])
    found = sorted(events(run.path / "tracking" / "tensorboard"))
    assert found == sorted((f"q/seed-{row['seed']}", row["step"], row["q"]) for row in ROWS)


def test_a_tracker_asked_for_later_gets_the_earlier_rows(run: RunDirectory) -> None:
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    for row in ROWS[:4]:
        run.append("metrics.jsonl", row)
    tell(run, "tensorboard", ROWS[4:])
    found = [step for tag, step, _ in events(run.path / "tracking" / "tensorboard") if tag == "q/seed-0"]
    assert found == [10, 20, 30]


def test_a_real_run_is_the_same_with_tensorboard(
    orl: Callable[..., Any], pendulum_log: str, cloned: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    words = [
        "-a",
        "bc",
        "-d",
        pendulum_log,
        "--seeds",
        "0:2",
        "--steps",
        30,
        *settings(TINY_AGENT, ["train.eval_every=1"]),
    ]
    done = orl("train-policy", *words, "-o", tmp_path / "run", "--tracker", "tensorboard", "-q", "--json")
    assert done.code == 0, done.err
    other = Path(cloned["run"])
    for file in ("config.toml", "metrics.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (other / file).read_bytes()
    mine, theirs = (json.loads((folder / "run.json").read_text()) for folder in (tmp_path / "run", other))
    assert {**mine, "seconds": 0, "result": 0} == {**theirs, "seconds": 0, "result": 0}
    rows = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]
    found = {(tag, step): value for tag, step, value in events(tmp_path / "run" / "tracking" / "tensorboard")}
    wanted = {(f"actor_loss/seed-{row['seed']}", row["step"]): row["actor_loss"] for row in rows}
    assert len(wanted) == 6
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)


def test_what_trackers_leave_is_not_copied(run: RunDirectory, tmp_path: Path) -> None:
    (run.path / "tracking").mkdir()
    (run.path / "tracking" / "x").write_text("x")
    (run.path / "run.json").write_text("{}")
    keep_run(run.path, tmp_path / "copy")
    assert sorted(each.name for each in (tmp_path / "copy").iterdir()) == ["config.toml", "run.json"]


def stand_in(name: str) -> ModuleType:
    """A package of that name that can be found."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    return module


def test_weights_and_biases_go_on_under_the_same_id(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in that keeps what it is told."""
    opened: list[dict[str, Any]] = []
    told: list[tuple[int, dict[str, float]]] = []

    def init(**options: Any) -> Any:
        opened.append(options)
        return SimpleNamespace(
            log=lambda values, step: told.append((step, values)), finish=lambda: told.append((-1, {}))
        )

    module = stand_in("wandb")
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    tell(run, "wandb", ROWS[:2])
    tell(run, "wandb", ROWS[:4])
    first, second = opened
    assert first == second
    assert (first["project"], first["name"], first["resume"]) == ("orl", "mopo-s0", "allow")
    assert first["config"] == {"algorithm": "mopo", "agent.discount": 0.97}
    assert told == [(10, {"q/seed-0": 10.0}), (10, {"q/seed-1": 11.0}), (-1, {}),
                    (20, {"q/seed-0": 20.0}), (20, {"q/seed-1": 21.0}), (-1, {})]  # fmt: skip


class StandIn:
    """What is asked of MLflow's client, kept."""

    runs: ClassVar[dict[str, str]] = {}
    params: ClassVar[dict[str, Any]] = {}
    metrics: ClassVar[list[tuple[str, str, float, int]]] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return None if not self.runs else SimpleNamespace(experiment_id="e")

    def create_experiment(self, name: str) -> str:
        return "e"

    def search_runs(self, experiments: list[str], wanted: str) -> list[Any]:
        found = [run for tag, run in self.runs.items() if wanted == f"tags.orl = '{tag}'"]
        return [SimpleNamespace(info=SimpleNamespace(run_id=run)) for run in found]

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> Any:
        self.runs[tags["orl"]] = f"r{len(self.runs)}"
        return SimpleNamespace(info=SimpleNamespace(run_id=self.runs[tags["orl"]]))

    def log_param(self, run: str, key: str, value: Any) -> None:
        self.params[key] = value

    def log_metric(self, run: str, key: str, value: float, step: int) -> None:
        self.metrics.append((run, key, value, step))

    def set_terminated(self, run: str) -> None:
        self.metrics.append((run, "end", 0.0, 0))


def test_mlflow_finds_its_run_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    module = stand_in("mlflow")
    module.MlflowClient = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    tell(run, "mlflow", [{"step": 1, "nll": 2.0}])
    tell(run, "mlflow", [{"step": 1, "nll": 2.0}, {"step": 2, "nll": 1.0}])
    assert StandIn.metrics == [
        ("r0", "nll", 2.0, 1),
        ("r0", "end", 0.0, 0),
        ("r0", "nll", 1.0, 2),
        ("r0", "end", 0.0, 0),
    ]
    assert StandIn.params == {"algorithm": "mopo", "agent.discount": 0.97}


def test_a_missing_tracker_is_one_line_and_nothing_is_written(
    orl: Callable[..., Any], pendulum_log: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, package in (("wandb", "wandb"), ("mlflow", "mlflow"), ("tensorboard", "tensorboardX")):
        monkeypatch.setitem(sys.modules, package, None)
        done = orl("train-policy", "-a", "bc", "-d", pendulum_log, "-o", tmp_path / "run", "--tracker", name, "-q")
        assert (done.code, done.out) == (MissingError.exit_code, "")
        assert done.err == f"orl: --tracker {name} needs {package}; install it with: pip install 'orl[{name}]'\n"
    assert not (tmp_path / "run").exists()
