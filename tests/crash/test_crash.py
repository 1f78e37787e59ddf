"""Twenty random moments of `make crash`: killed, started again, and the outcome that of an uninterrupted run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from crash_campaign import Crasher, moments, summary
from crash_cases import ALGORITHMS, Case, cases
from crash_outcome import assert_same

from orl.runs.checkpoints import Checkpoints

SEED = 11
# One of every command; the nine algorithms share what saves and resumes them.
CHOSEN = ("fit-model ensemble", "fit-model transformer", "train-policy calibrated", "plan mppi", "evaluate")
CHOSEN += ("data import --force", "tune")
MOMENTS = moments([case for case in cases() if case.name in CHOSEN], 20, SEED)


@pytest.fixture(scope="module")
def crasher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crasher]:
    crasher = Crasher(tmp_path_factory.mktemp("crash"))
    yield crasher
    crasher.close()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("case", "kind", "share"),
    [  # a case's moments on one worker, which runs it uninterrupted once
        pytest.param(*each, id=f"{each[0].name}-{each[1]}-{each[2]:.2f}", marks=pytest.mark.xdist_group(each[0].name))
        for each in MOMENTS
    ],
)
def test_killed_and_started_again_is_as_if_nothing_had_happened(
    crasher: Crasher, case: Case, kind: str, share: float
) -> None:
    """Right after the kill all can be read; then arrays, metrics and documents agree bit for bit, clock times apart."""
    row = crasher.kill_and_resume(case, kind, share)
    assert row["killed"] in (True, False)
    assert crasher.whole(case)["status"] == 0


def test_moments_are_spread_over_commands_and_kinds_and_drawn_again_alike() -> None:
    """Every case is hit by the clock and inside its saves; the same seed draws the same moments, so it can go on."""
    drawn = moments(cases(), 200, 0)
    assert drawn == moments(cases(), 200, 0)
    assert drawn != moments(cases(), 200, 1)
    counts = {(case.name, kind): 0 for case in cases() for kind in ("time", "call")}
    for case, kind, share in drawn:
        counts[case.name, kind] += 1
        assert 0.0 < share < 1.0
    assert (min(counts.values()), max(counts.values()), sum(counts.values())) == (5, 6, 200)
    assert {case.command for case in cases()} == {
        "fit-model", "train-policy", "plan", "evaluate", "export", "data import", "tune"
    }  # fmt: skip
    assert {f"train-policy {name}" for name in ALGORITHMS} <= {case.name for case in cases()}


def test_a_result_counts_by_command_and_kind_and_names_the_faults() -> None:
    row = {"case": "plan beam", "command": "plan", "kind": "call", "killed": True, "took": 30.0, "fault": None}
    result = summary([row, {**row, "kind": "time", "killed": False}, {**row, "fault": "AssertionError: x"}], 0)
    assert (result["moments"], result["killed"], result["minutes"]) == (3, 2, 1.5)
    assert result["commands"] == {"plan": 3}
    assert result["cases"] == {"plan beam": {"time": 1, "call": 2}}
    assert [fault["fault"] for fault in result["faults"]] == ["AssertionError: x"]


@pytest.mark.parametrize("change", ["array", "row", "document", "left over"])
def test_a_difference_is_seen(tmp_path: Path, change: str) -> None:
    """The comparison itself: one bit of one array, one digit of one row, one file too many."""
    for name in ("ours", "theirs"):
        other = name == "ours"
        run = tmp_path / name / "run"
        checkpoints = Checkpoints(run / "checkpoints")
        value = np.nextafter(np.float32(1), np.float32(2)) if other and change == "array" else np.float32(1)
        checkpoints.save(1, {"state": {"x": np.full(2, value, np.float32)}})
        checkpoints.close()
        (run / "metrics.jsonl").write_text('{"step": 2}\n' if other and change == "row" else '{"step": 1}\n')
        document = {"seconds": float(other), "result": {"epochs": 1 + (other and change == "document")}}
        (run / "run.json").write_text(json.dumps(document))
    if change == "left over":
        (tmp_path / "ours" / "run" / ".lock").write_text("")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "ours", tmp_path / "theirs")
    if change == "left over":
        (tmp_path / "ours" / "run" / ".lock").unlink()
        assert_same(tmp_path / "ours", tmp_path / "theirs")  # seconds differ, and may
