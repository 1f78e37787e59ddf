"""What `orl demo` found: a table for each dataset, and what each policy teaches, read off the measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

BARE = "mbpo"  # trusts its model without a penalty
WARY = ("mopo", "morel", "combo", "mobrac")  # each wary of the same model in its own way


class Row(NamedTuple):
    """A policy, or the behaviour: scores, or returns where the data have no reference.

    Attributes:
        low, high: 95% interval of `true` over episodes. model: what the bare model promises for the same starts; None
            without a model. blew_up: the model's rollouts ran away, so that there is no promise.
    """

    policy: str
    true: float
    low: float
    high: float
    model: float | None = None
    blew_up: bool = False

    @property
    def gap(self) -> float | None:
        """What the model promises beyond the truth: exploitation, where it is more than chance."""
        return None if self.model is None else self.model - self.true

    @property
    def exploits(self) -> bool:
        """Whether the promise lies above the interval of the truth."""
        return self.model is not None and self.model > self.high


def row_of(document: dict[str, Any]) -> Row:
    """The row of an evaluation's document."""
    score, value = document["score"], document["model_value"]
    low, high = score["ci95"] or (score["mean"], score["mean"])
    blew_up = value is not None and value["score"] is None
    return Row(document["algorithm"], score["mean"], low, high, value and value["score"], blew_up)


def standing(row: Row, other: Row) -> str:
    """'above', 'below' or 'level with': above and below where the intervals do not touch."""
    return "above" if row.low > other.high else "below" if row.high < other.low else "level with"


def lesson(row: Row, behaviour: Row, bc: Row) -> str:
    """What the numbers of a policy say: where it stands, and whether its model's promise was kept."""
    said = [f"{standing(row, behaviour)} the behaviour"]
    if row.policy != bc.policy:
        against = standing(row, bc)
        same = said[0].removesuffix(" the behaviour") == against
        said = [f"{against} behaviour and bc"] if same else [*said, f"{against} bc"]
    if row.blew_up:
        said.append("in its model it runs away")
    elif row.model is not None:
        said.append(promise(row))
    return ", ".join(said)


def promise(row: Row) -> str:
    """Whether the model's promise lies above, below or within the interval of the truth."""
    assert row.model is not None
    if row.exploits:
        return f"promised {row.model - row.true:.0f} too much"
    return f"promised {row.true - row.model:.0f} too little" if row.model < row.low else "promise kept"


def summary(rows: Sequence[Row]) -> list[str]:
    """Sentences about a dataset as a whole: the best policy, and what wariness did to exploitation."""
    behaviour = rows[0]
    best = max(rows[1:], key=lambda row: row.true)
    how = standing(best, behaviour)
    said = [f"best: {best.policy} with {best.true:.1f}, {how} the behaviour's {behaviour.true:.1f}"]
    by_name = {row.policy: row for row in rows}
    bare, wary = by_name.get(BARE), [by_name[name] for name in WARY if name in by_name]
    if bare is None or not wary:
        return said
    gaps = ", ".join(f"{row.policy} {gap_word(row)}" for row in wary)
    told = f"gap of {BARE}, which trusts its model: {gap_word(bare)}; of those wary of the same model: {gaps}"
    exploiting = [row.policy for row in (bare, *wary) if row.exploits or row.blew_up]
    return [*said, told, f"promises above the truth's interval: {', '.join(exploiting) if exploiting else 'none'}"]


def gap_word(row: Row) -> str:
    """'+12.3', or that there is none because the rollouts ran away."""
    return "runs away" if row.gap is None else f"{row.gap:+.1f}"


def table(dataset: str, rows: Sequence[Row], unit: str, episodes: int) -> Any:
    """The behaviour and every policy, a line each."""
    from rich.table import Table

    bc = next((row for row in rows if row.policy == "bc"), rows[0])
    shown = Table(title=f"{dataset} · {episodes} episodes a policy, one seed", title_justify="left")
    shown.add_column("policy", no_wrap=True)
    for column in (unit, "95%", "model", "gap"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("what it shows")
    for row in rows:
        found = "" if row is rows[0] else lesson(row, rows[0], bc)
        promised = "runs away" if row.blew_up else "–" if row.model is None else f"{row.model:.1f}"
        gap = "–" if row.gap is None else f"{row.gap:+.1f}"
        shown.add_row(row.policy, f"{row.true:.1f}", f"{row.low:.0f} to {row.high:.0f}", promised, gap, found)
    shown.caption, shown.caption_justify = "\n".join(summary(rows)), "left"
    return shown
