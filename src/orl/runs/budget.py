"""What fits into a given time: durations, shares of a budget, and updates scaled to what they cost."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from orl.errors import UsageError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]

SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
DURATION = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class BudgetConfig:
    """How a budget is shared out.

    Attributes:
        model: share of it that the fit of the ensemble may take; what it leaves goes to training.
        judgement: share that is kept back for judging the policies. Training has what is left of the rest.
        min_steps: a candidate trains for at least so many updates (or all it asks for), or not at all.
    """

    model: Share = 0.2
    judgement: Share = 0.2
    min_steps: Positive = 2000

    def __post_init__(self) -> None:
        if self.model + self.judgement >= 1.0:
            raise UsageError(
                f"budget.model {self.model:g} and budget.judgement {self.judgement:g} leave no time for training"
            )


class Cost(NamedTuple):
    """Seconds that training takes: `overhead` once (compilation), and `per_step` for each update."""

    overhead: float
    per_step: float

    def seconds(self, steps: int) -> float:
        """Of a training of `steps` updates."""
        return self.overhead + self.per_step * steps

    def slowed(self, pace: float) -> Cost:
        """The same on a machine that takes `pace` times as long."""
        return Cost(self.overhead * pace, self.per_step * pace)


def parse_duration(text: str) -> float:
    """Seconds of '45m', '2h', '90s' or '1h30m'.

    Raises:
        UsageError: anything else, or nothing at all.
    """
    match = DURATION.fullmatch(text.strip())
    given = {unit: float(value) for unit, value in match.groupdict().items() if value} if match else {}
    seconds = sum(SECONDS[unit] * value for unit, value in given.items())
    if not seconds:
        raise UsageError(f"--budget {text}: expected a time such as 45m, 2h, 90s or 1h30m")
    return seconds


def whole_epochs(steps: float, epoch_steps: int) -> int:
    """`steps` rounded up to whole epochs, as a run does."""
    return math.ceil(steps / epoch_steps) * epoch_steps


def scaled_steps(
    wanted: Sequence[int], costs: Sequence[Cost], epoch_steps: Sequence[int], available: float, minimum: int
) -> list[int | None]:
    """The updates of each candidate, such that all together take at most `available` seconds; None for one left out.

    All are cut by the same factor, but none below `minimum` (or what it wants, if that is less), in whole epochs. Where
    not even these minima fit, candidates are left out from the end of the list until the others' do.
    """
    wanted = [whole_epochs(steps, epoch) for steps, epoch in zip(wanted, epoch_steps, strict=True)]
    least = [min(steps, whole_epochs(minimum, epoch)) for steps, epoch in zip(wanted, epoch_steps, strict=True)]
    kept = len(wanted)
    while kept and sum(cost.seconds(steps) for cost, steps in zip(costs[:kept], least[:kept], strict=True)) > available:
        kept -= 1
    factor = common_factor(wanted[:kept], least[:kept], costs[:kept], available)
    return [
        max(low, math.floor(factor * steps / epoch) * epoch)
        for steps, low, epoch in zip(wanted[:kept], least[:kept], epoch_steps[:kept], strict=True)
    ] + [None] * (len(wanted) - kept)


def common_factor(wanted: Sequence[int], least: Sequence[int], costs: Sequence[Cost], available: float) -> float:
    """The largest f <= 1 such that max(least, f * wanted) updates of each take at most `available` seconds in all.

    Each round holds those at their minimum that f would bring below it; the others share what is left. The time at the
    minima must fit.
    """
    held: set[int] = set()
    while True:
        free = [index for index in range(len(wanted)) if index not in held]
        if not free:
            return 0.0
        taken = sum(cost.overhead for cost in costs) + sum(costs[index].per_step * least[index] for index in held)
        factor = min(1.0, (available - taken) / sum(costs[index].per_step * wanted[index] for index in free))
        below = {index for index in free if factor * wanted[index] < least[index]}
        if not below:
            return factor
        held |= below
