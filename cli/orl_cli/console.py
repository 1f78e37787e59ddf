"""Where words go: results to stdout, progress and logs to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from orl.runs.reporter import Reporter

PLAIN_SECONDS = 5.0  # between two progress lines where there is no terminal to redraw on


def plain(text: str) -> str:
    """`text` with what a terminal would act on or cannot show as escapes, such as \\x1b; line breaks and tabs stay.

    Names of datasets, columns and files come from elsewhere, and may hold control sequences.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def out(text: str) -> None:
    """A line of results."""
    sys.stdout.write(plain(text) + "\n")


def print_json(document: Mapping[str, Any]) -> None:
    """The one JSON document of a `--json` call."""
    out(json.dumps(document, indent=2, allow_nan=False))


def console_on(file: IO[str]) -> Any:
    """A rich console that takes strings for what they are: neither mark-up nor emoji nor control sequences."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(plain(text), **how)

    return PlainConsole(file=file, markup=False, emoji=False)


def print_table(table: Any, file: IO[str] | None = None) -> None:
    """A rich table or panel on stdout, or on `file`."""
    console_on(file or sys.stdout).print(table)


def error_line(text: str) -> None:
    """What went wrong, on stderr, without a frame."""
    sys.stderr.write(f"orl: {plain(text)}\n")


def reporter_for(quiet: bool) -> Reporter:
    """Progress on stderr: drawn on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return Reporter()
    return RichReporter() if sys.stderr.isatty() else PlainReporter()


def numbers(metrics: Mapping[str, float]) -> str:
    """'critic loss 0.41  q -34.2': short, in the order given."""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items())


def words(value: Any) -> str:
    """A value of a JSON document, for reading."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value))
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


class PlainReporter(Reporter):
    """One line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._title, self._unit, self._total = "", "", 0
        self._began = self._spoke = 0.0
        self._first = 0

    def message(self, text: str) -> None:
        sys.stderr.write(plain(text) + "\n")

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._title, self._total, self._unit, self._first = title, total, unit, done
        self._began, self._spoke = time.monotonic(), 0.0
        self.message(f"{title}: {total - done} {unit}")

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._spoke < PLAIN_SECONDS and done != self._total:
            return
        self._spoke = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        self.message(f"{self._title}: {done}/{self._total} {self._unit}, {rate:.3g}/s, {numbers(metrics)}")


class RichReporter(Reporter):
    """A progress bar with rate, time to go and the latest numbers."""

    def __init__(self) -> None:
        self._console = console_on(sys.stderr)
        self._progress: Any = None
        self._task: Any = None
        self._title = ""

    def message(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, soft_wrap=True)

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.finish()
        columns = (
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}", style="dim", markup=False),
        )
        self._progress = Progress(*columns, console=self._console, transient=False)
        self._task = self._progress.add_task(plain(title), total=total, completed=done, numbers="", rate="")
        self._progress.start()

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if self._progress is None:
            return
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.2f}/s" if speed else ""
        self._progress.update(self._task, completed=done, numbers=plain(numbers(metrics)), rate=rate)

    def finish(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
