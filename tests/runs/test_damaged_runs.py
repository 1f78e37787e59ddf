"""Run folders whose files were damaged: what is wrong is named, file and entry."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import orl as package
from orl.errors import DataError
from orl.runs import checkpoints, orbax_reports
from orl.runs.directory import config_tree, load_run
from orl.runs.loading import dataset_of
from orl.runs.reporter import Reporter
from orl.runs.run_record import checked_record
from orl_cli.runs import headline


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"kind": 1}, "kind = 1: input should be a valid string"),
        ({"seeds": "0"}, "seeds = '0': input should be a valid array"),
        ({"seeds": []}, "seeds = []: list should have at least 1 item"),
        ({"seeds": [0, "../.."]}, "seeds.1 = '../..': input should be a valid integer"),
        ({"dataset": []}, "dataset = []: input should be an object"),
        ({"dataset": {"obs_dim": 2**63}}, "dataset.obs_dim = 9223372036854775808: input should be less than"),
        ({"dataset": {"obs_dim": True}}, "dataset.obs_dim = True: input should be a valid integer"),
        ({"dataset": {"obs_fields": [["a"]]}}, "dataset.obs_fields.0.1 ="),
        ({"dataset": {"reference": {"min": 0}}}, "dataset.reference.max ="),
        ({"dataset": {"action_dim": 2, "action_low": [0.0]}}, "dataset.action_low has not as many numbers"),
        ({"result": {"holdout": {"rmse_over_persistence": [0.1]}}}, "result.holdout.rmse_over_persistence = [0.1]"),
        ({"result": {"holdout": {"cross_entropy": {"obs": "x"}}}}, "result.holdout.cross_entropy.obs = 'x'"),
        ({"rollback": {"epoch": 1, "learning_rate_scale": "x"}}, "rollback.learning_rate_scale = 'x'"),
        ({"result": {"score": {"mean": "x", "normalised": True}}}, "result.score.mean = 'x'"),
    ],
)
def test_entries_of_another_type_are_refused(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refusal:
        checked_record(Path("r/run.json"), entries)
    assert str(refusal.value).startswith(f"r/run.json is damaged: {message}")


def test_other_entries_may_be_anything_and_an_absent_one_is_a_fault() -> None:
    record = checked_record(Path("run.json"), {"kind": "x", "note": [1], "dataset": {"name": "n"}, "termination": None})
    assert (record["note"], record["dataset"]["name"], record.get("seeds")) == ([1], "n", None)
    with pytest.raises(DataError, match=r"^run\.json is damaged: it lacks seeds$"):
        record["seeds"]
    with pytest.raises(DataError, match=r"^run\.json is damaged: it lacks dataset\.obs_dim$"):
        record["dataset"]["obs_dim"]
    assert json.loads(json.dumps(record)) == dict(record)


@pytest.fixture
def run(cloned: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of a bc run."""
    return Path(shutil.copytree(cloned["run"], tmp_path / "run"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"step": 1, "loss": NaN}', "line 1 is not valid JSON (NaN is no number in JSON)"),
        (b"\xff", "line 1 is not valid JSON ("),
        (b"[" * 10**5, "line 1 is not valid JSON (lists or objects are nested too deeply)"),
        (b"[]", "line 1 is no JSON object with a whole number as step"),
        (b'{"step": "1"}', "line 1 is no JSON object with a whole number as step"),
    ],
)
def test_a_line_of_the_metrics_is_a_row_or_a_torn_last_one(line: bytes, fault: str, run: Path) -> None:
    (run / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line)
    assert load_run(run).rows("metrics.jsonl") == [{"step": 1}]
    (run / "metrics.jsonl").write_bytes(line + b'\n{"step": 1}\n')
    with pytest.raises(DataError) as refusal:
        load_run(run).rows("metrics.jsonl")
    assert str(refusal.value).startswith(f"{run}/metrics.jsonl: {fault}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("history = 0", 'history = "x"'), "config.toml: setting history = 'x': input should be a valid integer"),
        (("history = 0", "history = 1.5"), "config.toml: setting history = 1.5: input should be a valid integer"),
        (("history = 0", "history = 1000000000000"), "setting history = 1000000000000: input should be less than"),
        (("history = 0", "history = 9999"), "cannot restore checkpoint"),
        (('algorithm = "bc"', 'algorithm = "bcc"'), "config.toml: unknown algorithm 'bcc'"),
        (('algorithm = "bc"', "algorithm = inf"), "config.toml: unknown algorithm inf"),
    ],
)
def test_settings_of_a_run_that_cannot_be(change: tuple[str, str], message: str, run: Path) -> None:
    text = (run / "config.toml").read_text()
    assert change[0] in text
    (run / "config.toml").write_text(text.replace(*change))
    with pytest.raises(DataError) as refusal:
        package.load_policy(run)
    assert message in str(refusal.value)
    assert str(run) in str(refusal.value)


@pytest.mark.parametrize("depth", ['"1"', "-1", "[1]", "true"])
def test_a_history_is_a_whole_number(depth: str, run: Path) -> None:
    (run / "config.toml").write_text(f"history = {depth}")
    with pytest.raises(DataError, match=r"config\.toml: history = .*: a whole number from 0 is needed"):
        load_run(run).history  # noqa: B018


def test_settings_that_are_not_there(run: Path) -> None:
    (run / "config.toml").write_text("dataset = 3\n[model]\n")
    with pytest.raises(DataError, match=r"config\.toml is damaged: it lacks model\.holdout_fraction$"):
        config_tree(run)["model"]["holdout_fraction"]
    with pytest.raises(DataError, match=r"config\.toml: dataset = 3 is no name of a dataset"):
        dataset_of(load_run(run), Reporter())


@pytest.mark.parametrize("content", [b"version https://git-lfs", b'{"tree_metadata": {"x": {}}}', b"first half"])
def test_damaged_checkpoints_without_a_seal_are_one_line(
    content: bytes, fitted: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As written before there were seals, each file in turn; Orbax raises what it likes, and in threads too."""
    run = Path(shutil.copytree(fitted["run"], tmp_path / "run"))
    (item,) = (run / "checkpoints").glob("*/model")
    (item.parent / "seal.json").unlink()
    refused = []
    for file in [path for path in item.rglob("*") if path.is_file()]:
        before = file.read_bytes()
        file.write_bytes(before[: len(before) // 2] if content == b"first half" else content)
        try:
            package.load_model(run)
        except DataError as error:
            refused.append(str(error))
        file.write_bytes(before)
    gc.collect()
    assert len(refused) >= 3
    assert {message.split(": ")[0] for message in refused} == {f"cannot restore checkpoint 2 in {run}/checkpoints"}
    assert max(map(len, refused)) < 1000
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("error", [Exception, RuntimeError, KeyError, ValueError])
def test_whatever_orbax_raises_names_the_checkpoint(error: type[Exception], tmp_path: Path) -> None:
    def restore(*arguments: Any, **options: Any) -> None:
        raise error("a reason\nand a page of details")

    with pytest.raises(DataError, match=r"cannot restore checkpoint 7 in .*: .*a reason") as refusal:
        checkpoints._restore(SimpleNamespace(restore=restore), tmp_path, 7, {})
    assert "Traceback" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_too_little_memory_is_no_damage(tmp_path: Path) -> None:
    def restore(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        checkpoints._restore(SimpleNamespace(restore=restore), tmp_path, 7, {})


def test_what_threads_report_after_a_failed_reading_is_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that: another fault that nobody can catch is still told. After a success all is as it was."""
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(error))
    before = sys.unraisablehook, sys.excepthook
    with orbax_reports.unreported():
        assert sys.unraisablehook is not before[0]
        assert sys.excepthook is not before[1]
    assert (sys.unraisablehook, sys.excepthook) == before
    with pytest.raises(ValueError, match="broken"), orbax_reports.unreported():
        raise ValueError("broken")

    async def read() -> None: ...

    reading = read()
    closed = SimpleNamespace(exc_type=RuntimeError, exc_value=RuntimeError("Event loop is closed"), object=None)
    left = SimpleNamespace(exc_type=Exception, exc_value=Exception("x"), object=reading)
    other = SimpleNamespace(exc_type=RuntimeError, exc_value=RuntimeError("x"), object=None)
    for found in (closed, left, other):
        sys.unraisablehook(found)
    reading.close()
    uncaught = RuntimeError("Event loop is closing")
    for error in (closed.exc_value, uncaught):
        sys.excepthook(type(error), error, None)
    assert told == [other, uncaught]


def test_a_folder_of_other_digits_is_no_step(run: Path) -> None:
    (run / "checkpoints" / "²").mkdir()
    assert package.load_policy(run)([1.0, 0.0, 0.0]).shape == (1,)


def test_the_list_of_runs_leaves_damaged_ones_out(run: Path, orl: Callable[..., Any]) -> None:
    assert str(run) in orl("runs", "list", "--runs", run.parent, "--json").out
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": ["finished"]}))
    done = orl("runs", "list", "--runs", run.parent)
    assert (done.code, done.err) == (0, "")
    assert "no runs below" in done.out


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({}, "–"),
        (None, "–"),
        ({"holdout": {}}, "–"),
        ({"holdout": {"rmse_over_persistence": 0.5}}, "rmse/pers. 0.500"),
        ({"holdout": {"cross_entropy": {"obs": 1.25}}}, "nats/obs 1.250"),
        ({"holdout": {"cross_entropy": {"action": 1.25}}}, "–"),
        ({"score": {"mean": 31.04, "normalised": True}}, "score 31.0"),
        ({"score": {"mean": -200.0, "normalised": False}}, "return -200.0"),
    ],
)
def test_the_number_of_a_run_that_matters_most(result: Any, said: str) -> None:
    assert headline({"result": result}) == said


def test_what_threads_log_after_a_failed_saving_is_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("absl")
    monkeypatch.setattr(logger, "disabled", False)
    with orbax_reports.unlogged():
        assert logger.disabled
    assert not logger.disabled
    with pytest.raises(ValueError, match="broken"), orbax_reports.unlogged():
        raise ValueError("broken")
    assert logger.disabled
