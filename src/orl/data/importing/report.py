"""What was imported, and what had to be assumed for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orl.data.episodes import Floats
from orl.data.importing.columns import Columns
from orl.data.importing.episodes import Ends, Episode
from orl.data.importing.mapping import Mapping


@dataclass
class Tally:
    """Numbers of the episodes read so far."""

    steps: int = 0
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    terminals: int = 0
    timeouts: int = 0

    def add(self, episode: Episode) -> None:
        """Count one episode."""
        self.steps += len(episode.reward)
        self.lengths.append(len(episode.reward))
        self.returns.append(float(episode.reward.sum()))
        self.terminals += episode.terminated
        self.timeouts += not episode.terminated

    @property
    def episodes(self) -> int:
        """How many there were."""
        return len(self.lengths)


def report(
    mapping: Mapping,
    columns: Columns,
    tally: Tally,
    ends: Ends,
    splits: int,
    low: Floats,
    high: Floats,
    files: list[dict[str, Any]],
) -> dict[str, Any]:
    """The import as plain JSON values; returns are undiscounted sums of rewards, lengths are steps, bounds [A]."""
    return {
        "id": mapping.id,
        "files": files,
        "rows": sum(file["rows"] for file in files),
        "steps": tally.steps,
        "episodes": tally.episodes,
        "columns": {role: list(names) for role, names in columns.roles().items()},
        "returns": _spread(tally.returns),
        "lengths": _spread(tally.lengths),
        "terminals": tally.terminals,
        "timeouts": tally.timeouts,
        "dropped_rows": ends.dropped,
        "action_low": low.tolist(),
        "action_high": high.tolist(),
        "assumed": _assumed(mapping, columns, ends, splits),
    }


def _assumed(mapping: Mapping, columns: Columns, ends: Ends, splits: int) -> list[str]:
    """What the log did not say and the import decided, one sentence each."""
    flagged = bool(columns.terminated or columns.truncated)
    by_flags = "at flags and at the ends of files" if flagged else "with files: one each"
    said = [
        (not columns.episode, f"no --episode column: episodes end {by_flags}"),
        (not columns.order, "no --order column: rows are in order as the files have them"),
        (not columns.terminated, "no --terminated column: no episode ends truly, each is cut at its last row"),
        (ends.at_limit, f"{ends.at_limit} ends at --time-limit {mapping.time_limit} are cuts, not true ends"),
        (splits, f"{splits} gaps: the episode is split at each"),
        (ends.observed, f"{ends.observed} last rows without action and reward are observations after the last action"),
        (ends.dropped, f"no --next-obs: {ends.dropped} last rows of cut episodes left out, for nothing follows them"),
        (ends.repeated, f"no --next-obs: {ends.repeated} true ends have their own observation as the next one"),
        (ends.empty, f"{ends.empty} episodes left out, for no step of them has a next observation"),
        (
            mapping.action_low is None,
            "no --action-low/--action-high: bounds are [-1, 1] if all actions are, else their range",
        ),
    ]
    return [sentence for applies, sentence in said if applies]


def _spread(values: list[Any]) -> dict[str, float] | None:
    array = np.asarray(values, np.float64)
    return {"mean": float(array.mean()), "min": float(array.min()), "max": float(array.max())} if len(array) else None
