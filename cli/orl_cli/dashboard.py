"""A line for each stage of long work: what it is at, how long it took, and the number it ended with."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orl.runs.reporter import Reporter
from orl_cli.console import PlainReporter, console_on, plain

BAR, REFRESHES = 12, 4  # columns of a progress bar; redrawn so many times a second
SIGNS = {"waiting": (" ", "dim"), "running": ("▸", "cyan"), "done": ("✓", "green"), "stopped": ("✗", "red")}


@dataclass
class Stage:
    """A stage of the work; `outcome` is the number that it ends with, in words.

    Attributes:
        group: what it belongs to, such as a dataset. state: a key of SIGNS.
        done, total: units behind it and in all; no total where nothing is counted. began: by the monotonic clock.
    """

    group: str
    name: str
    state: str = "waiting"
    unit: str = ""
    done: int = 0
    total: int = 0
    began: float = 0.0
    seconds: float = 0.0
    outcome: str = ""

    @property
    def elapsed(self) -> float:
        """Seconds it took, or has taken so far."""
        return time.monotonic() - self.began if self.state == "running" else self.seconds

    @property
    def progress(self) -> str:
        """'18/20 epochs' of a stage that is counting."""
        return f"{self.done}/{self.total} {self.unit}" if self.state == "running" and self.total else ""


class Dashboard(Reporter):
    """Follows stages, and says nothing; subclasses show them. It is the reporter of the work inside a stage."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = list(stages)
        self.now: Stage | None = None

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *error: object) -> None:
        return

    @contextmanager
    def stage(self, group: str, name: str) -> Iterator[Stage]:
        """The stage of that name runs inside the block, which may give it its `outcome`."""
        self.now = found = next(each for each in self.stages if (each.group, each.name) == (group, name))
        found.state, found.began = "running", time.monotonic()
        self.stage_began(found)
        try:
            yield found
            state = "done"
        except BaseException:
            state = "stopped"
            raise
        finally:
            found.seconds, found.state = found.elapsed, state
            self.stage_ended(found)

    def stage_began(self, stage: Stage) -> None:
        """A stage begins."""

    def stage_ended(self, stage: Stage) -> None:
        """A stage is done, or stopped."""

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Counting begins."""
        if self.now is not None:
            self.now.total, self.now.unit, self.now.done = total, unit, done

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """Counting goes on."""
        if self.now is not None:
            self.now.done = done


class PlainDashboard(Dashboard):
    """Lines on stderr, for logs and pipes."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(stages)
        self._lines = PlainReporter()

    def stage_began(self, stage: Stage) -> None:
        self._lines.message(f"{self._title(stage)} …")

    def stage_ended(self, stage: Stage) -> None:
        outcome = f": {stage.outcome}" if stage.outcome else ""
        self._lines.message(f"{self._title(stage)} {stage.state} after {clock(stage.seconds)}{outcome}")

    def message(self, text: str) -> None:
        self._lines.message(text)

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        super().start(title, total, unit, done)
        self._lines.start(title, total, unit, done)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        super().advance(done, metrics)
        self._lines.advance(done, metrics)

    def _title(self, stage: Stage) -> str:
        return f"[{self.stages.index(stage) + 1}/{len(self.stages)}] {stage.group} {stage.name}".strip()


class LiveDashboard(Dashboard):
    """A table on stderr that is drawn again and again; on a low terminal, the part of it around the running stage."""

    def __init__(self, title: str, stages: Sequence[Stage]) -> None:
        from rich.live import Live

        super().__init__(stages)
        self._title, self._began, self._note = title, time.monotonic(), ""
        self._console = console_on(sys.stderr)
        self._live = Live(
            get_renderable=self.table, console=self._console, refresh_per_second=REFRESHES, transient=False
        )

    def __enter__(self) -> LiveDashboard:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.now, self._note = None, ""
        self._live.stop()

    def message(self, text: str) -> None:
        """Shown below the table until the next one; a note (`guarded` prints it) scrolls by above."""
        self._note = plain(text)

    def table(self) -> Any:
        """The board as it is now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        running = self.now is not None
        board = Table.grid(padding=(0, 1))
        board.title = f"{self._title} · {clock(time.monotonic() - self._began)}"
        board.title_justify, board.title_style = "left", "bold"
        for _ in range(4):
            board.add_column(no_wrap=True)
        board.add_column(no_wrap=True, overflow="ellipsis")
        room = self._console.height - 3 if running else len(self.stages)
        for stage in around(self.stages, room):
            board.add_row(*row_of(stage))
        return Group(board, Text(self._note, style="dim", no_wrap=True, overflow="ellipsis")) if running else board


def row_of(stage: Stage) -> tuple[Any, ...]:
    """Sign, group, name and time of a stage, and its progress or what it ended with."""
    from rich.text import Text

    sign, style = SIGNS[stage.state]
    dim = "dim" if stage.state == "waiting" else ""
    shown = "" if stage.state == "waiting" else clock(stage.elapsed)
    last = Text(stage.outcome)
    if stage.progress:
        full = BAR * stage.done // stage.total
        last = Text.assemble(("━" * full, "cyan"), ("─" * (BAR - full), "dim"), f" {stage.progress}")
    head = Text(sign, style=style), Text(stage.group, style="dim"), Text(stage.name, style=dim)
    return *head, Text(shown, justify="right"), last


def around(stages: Sequence[Stage], room: int) -> list[Stage]:
    """So many of the stages, with the one that runs among them and one that waits after it where there is one."""
    if len(stages) <= room:
        return list(stages)
    room = max(room, 1)
    begun = [index for index, stage in enumerate(stages) if stage.state != "waiting"]
    last = min(max((begun[-1] if begun else 0) + min(room, 2), room), len(stages))
    return list(stages[last - room : last])


def clock(seconds: float) -> str:
    """'3:07', or '1:02:45' from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def dashboard_for(title: str, stages: Sequence[Stage], quiet: bool) -> Dashboard:
    """Drawn on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return Dashboard(stages)
    return LiveDashboard(title, stages) if sys.stderr.isatty() else PlainDashboard(stages)
