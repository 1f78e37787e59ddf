"""A planner under observation: progress while it plays, what it planned afterwards, and a stop in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from orl.errors import Interrupted
from orl.files import write_text
from orl.planning.receding import Planner
from orl.runs.reporter import Reporter


class Watched:
    """Acts as its planner does (see `evaluation.episodes.EpisodePolicy`).

    Raises, when called:
        Interrupted: `stopping` says so.
    """

    def __init__(self, planner: Planner, reporter: Reporter, stopping: Callable[[], bool], limit: int) -> None:
        self._planner, self._reporter, self._stopping, self._limit = planner, reporter, stopping, limit
        self._wave, self._step, self._plans = -1, 0, 0
        self._return: Any = 0.0
        self._lines: list[str] = []

    def __call__(self, obs: np.ndarray, reward: np.ndarray | None) -> np.ndarray:
        """The planner's actions."""
        if self._stopping():
            raise Interrupted("stopped; finished seeds are kept, and the same command goes on after them")
        action = self._planner(obs, reward)
        self._return = self._return + (0.0 if reward is None else reward)
        if len(self._planner.seconds) > self._plans:
            self._plans = len(self._planner.seconds)
            self._note()
        self._step += 1
        milliseconds = 1e3 * self._planner.seconds[-1] / len(obs)
        shown = {"return so far": float(np.mean(self._return)), "ms per action": milliseconds}
        self._reporter.advance(min(self._step, self._limit or self._step), shown)
        return action

    def reset(self, rows: Any = None) -> None:
        """Begin new episodes."""
        self._planner.reset(rows)
        self._wave, self._step, self._return = self._wave + 1, 0, 0.0

    def write(self, path: Path) -> None:
        """One line a plan: wave, step, and for every episode played side by side the score and the planned steps."""
        write_text(path, "".join(self._lines))

    def _note(self) -> None:
        plan = self._planner.last
        assert plan is not None
        row = {
            "wave": self._wave,
            "step": self._step,
            "value": rounded(plan.value),
            "action": rounded(self._planner.to_env(plan.trajectory.action)),
            "reward": rounded(plan.trajectory.reward),
        }
        self._lines.append(json.dumps(row) + "\n")


def rounded(x: Any) -> Any:
    """Nested lists of numbers to four significant digits, null where not finite."""
    array = np.asarray(x, np.float64)
    if array.ndim:
        return [rounded(row) for row in array]
    return float(f"{float(array):.4g}") if np.isfinite(array) else None
