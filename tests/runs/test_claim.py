"""A run folder for one process alone: a true status, a replacement that can be cut off, a start that can be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl.errors import BusyError, UsageError
from orl.files import TEMPORARY
from orl.locking import locked
from orl.runs.claim import claimed, clear_folder


def status(path: Path) -> str:
    return json.loads((path / "run.json").read_text())["status"]


@pytest.mark.parametrize(("before", "after"), [("running", "interrupted"), ("finished", "finished")])
def test_where_the_work_is_interrupted_the_record_says_so(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"status": before, "seeds": [0]}))
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path):
        raise KeyboardInterrupt
    assert json.loads((tmp_path / "run.json").read_text()) == {"status": after, "seeds": [0]}
    assert os.listdir(tmp_path) == ["run.json"]


def test_what_was_left_half_written_goes_and_a_run_without_work_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY}x").write_text("half")
    with claimed(tmp_path, work=False):
        assert os.listdir(tmp_path) == [f"{TEMPORARY}x"]
    with claimed(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]
        with pytest.raises(BusyError), claimed(tmp_path):
            pass


def test_the_lock_that_a_killed_process_left_in_a_finished_run_goes_and_one_that_is_held_stays(tmp_path: Path) -> None:
    for name in (".lock", "run.json", f"{TEMPORARY}x"):
        (tmp_path / name).write_text("")
    with claimed(tmp_path, work=False):
        assert os.listdir(tmp_path) == ["run.json"]
    with locked(tmp_path), claimed(tmp_path, work=False):
        assert sorted(os.listdir(tmp_path)) == [".lock", "run.json"]


def test_a_replacement_that_is_cut_off_is_still_the_run_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("checkpoints", "model"):
        (tmp_path / name).mkdir()
    for name in ("run.json", "a.txt", "z.txt"):
        (tmp_path / name).write_text("")
    rename, moved = Path.rename, []

    def cut_off(self: Path, target: Path) -> Path:
        if len(moved) == 4:
            raise KeyboardInterrupt
        moved.append(self.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut_off)
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        clear_folder(tmp_path, last="run.json")
    assert (sorted(moved), (tmp_path / "run.json").exists()) == (["a.txt", "checkpoints", "model", "z.txt"], True)
    monkeypatch.undo()
    with locked(tmp_path):
        clear_folder(tmp_path, last="run.json")
        assert os.listdir(tmp_path) == [".lock"]


def test_a_second_process_ends_with_one_line(
    orl: Callable[..., Any], mopo: dict[str, Any], root: Path, pendulum_log: str, tmp_path: Path
) -> None:
    """Every command that works in a folder; what is finished can be shown all the same."""
    run = Path(mopo["run"])
    elsewhere = ["-d", pendulum_log, "--out", tmp_path / "run", "--runs", root]
    with locked(tmp_path / "run"):
        for words in (
            ["fit-model"],
            ["fit-model", "-k", "transformer"],
            ["train-policy", "-a", "bc"],
            ["plan"],
            ["tune"],
        ):
            done = orl(*words, *elsewhere)
            assert (done.code, done.out) == (2, ""), words
            last = done.err.splitlines()[-1]
            assert last.startswith(f"orl: {tmp_path / 'run'} is in use by process {os.getpid()} on "), words
    with locked(run / "eval", ".Pendulum-v1-2x0.lock"):
        busy = orl("evaluate", run, "--episodes", 2, "--no-bc", "-q")
        assert (busy.code, busy.out) == (2, "")
        assert f"orl: {run / 'eval'} is in use by process {os.getpid()} on " in busy.err
    with locked(run):
        again = orl("train-policy", "--config", run / "config.toml", "--runs", root, "--json")
        assert (again.code, again.document["run"]) == (0, str(run))


def test_a_run_killed_before_its_record_goes_on_with_settings_that_were_yet_to_be_calibrated(tmp_path: Path) -> None:
    """Its settings file says what was decided by measurement; the lock tells it from a folder of the user's own."""
    from test_run_folder import Settings, opened

    (tmp_path / "config.toml").write_text('steps = 9\nname = "x"\n')
    with pytest.raises(UsageError, match="is not a run folder"):
        opened(tmp_path)
    (tmp_path / ".lock").write_text("process 1 on another\n")
    assert opened(tmp_path, Settings(steps=3)).record["status"] == "running"
    assert (tmp_path / "config.toml").read_text() == 'steps = 3\nname = "x"\n'


def test_a_start_that_fails_takes_its_settings_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_run_folder import opened

    from orl.runs import directory

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(directory, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / "run")
    assert os.listdir(tmp_path / "run") == []
