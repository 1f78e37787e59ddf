"""The board of `orl demo`: a line a stage, on a terminal of any height."""

from __future__ import annotations

import io
import sys

import pytest

from orl_cli.console import console_on
from orl_cli.dashboard import Dashboard, LiveDashboard, Stage, around, clock


def five() -> list[Stage]:
    """Five stages that wait."""
    return [Stage("data", name) for name in "abcde"]


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (187, "3:07"), (3765, "1:02:45")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_stage_runs_inside_its_block() -> None:
    board = Dashboard(five())
    with board.stage("data", "b") as stage:
        assert (stage.state, stage.name) == ("running", "b")
        board.start("training", 20, "epochs", 5)
        board.advance(8, {})
        assert stage.progress == "8/20 epochs"
    assert [each.state for each in board.stages] == ["waiting", "done", "waiting", "waiting", "waiting"]
    assert stage.progress == ""
    with pytest.raises(KeyboardInterrupt), board.stage("data", "c"):
        raise KeyboardInterrupt
    assert board.stages[2].state == "stopped"


@pytest.mark.parametrize(
    ("begun", "room", "seen"),
    [
        (0, 9, "abcde"),
        (0, 3, "abc"),
        (1, 3, "abc"),
        (2, 3, "abc"),
        (3, 3, "bcd"),
        (4, 3, "cde"),
        (5, 3, "cde"),
        (2, 0, "b"),
    ],
)
def test_a_low_terminal_shows_what_is_around_the_running_stage(begun: int, room: int, seen: str) -> None:
    stages = five()
    for stage in stages[:begun]:
        stage.state = "done"
    assert "".join(stage.name for stage in around(stages, room)) == seen


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_board_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    board = LiveDashboard("orl demo", five())
    with board.stage("data", "a") as stage:
        stage.outcome = "[red]score 84.1"
    with board.stage("data", "b"):
        board.start("training", 20, "epochs")
        board.advance(10, {})
        board.message("using the ensemble in runs/\x1b[2J")
        stream = io.StringIO()
        console = console_on(stream)
        console.width = width
        console.print(board.table())
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("orl demo · 0:0")
    assert lines[1].split() == ["✓", "data", "a", "0:00", "[red]score", "84.1"]
    assert lines[2].split() == ["▸", "data", "b", "0:00", "━━━━━━──────", "10/20", "epochs"]
    assert lines[3].split() == ["data", "c"]
    assert "using the ensemble in runs/\\x1b[2J" in lines[-1]
