"""How long work tells what it is doing. The library says nothing; the command line passes its own reporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orl.runs.directory import RunDirectory


class Reporter:
    """Receives what a run has to say; this one keeps quiet. Subclasses draw."""

    def message(self, text: str) -> None:
        """A line worth reading once."""

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """A stage of `total` units begins, `done` of them already behind it."""

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """`done` units of the stage are behind us; `metrics` are the latest numbers."""

    def row(self, run: RunDirectory, row: Mapping[str, Any]) -> None:
        """A row of metrics, all of them, was added to the log of `run`."""

    def finish(self) -> None:
        """The stage is over."""
