"""The score by which policies are chosen offline, and the choice: pessimistic where the estimators differ.

Candidates are compared by what each is worth at least. By its value alone a candidate would be chosen for the error of
whoever overrates it - a Q-function that extrapolates, a model that is exploited: the maximum of noisy estimates is too
high, and the more so, the less is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import NamedTuple

from orl.evaluation.ope.methods import FQE, PENALISED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import ENOUGH_EPISODES, OUTSIDE

# Importance sampling by itself is no witness: where its interval says something the doubly robust estimate, which uses
# the same weights, says it better. The bare model is the one that policies trained in it exploit.
WITNESSES = (FQE, WEIGHTED_DOUBLY_ROBUST, PENALISED)


def selection_score(estimates: Mapping[str, Estimate]) -> float:
    """The least lower bound (95%) among the WITNESSES that are heard: fitted Q, doubly robust, penalised model.

    The doubly robust one is heard from `ENOUGH_EPISODES` effective episodes on (its detail `effective`). Below, a few
    episodes carry the correction: over long episodes it would veto every deterministic policy, or pass it by luck.

    Of values it is what a candidate is worth at least, and what candidates are ranked by; of paired differences to
    the behaviour (the same mapping, of improvements) it is the improvement that is certain. Minus infinity where there
    is no witness, or one that is not a number: what nobody can vouch for is not chosen.
    """
    bounds = [estimates[name].low for name in WITNESSES if name in estimates and is_heard(estimates[name])]
    return min(bounds) if bounds and not any(map(isnan, bounds)) else -inf


def is_heard(estimate: Estimate) -> bool:
    """Whether enough effective episodes stand behind an estimate that rests on importance weights; True of others."""
    return estimate.detail.get("effective", inf) >= ENOUGH_EPISODES


class Contender(NamedTuple):
    """What the choice sees of a candidate.

    Attributes:
        name: for messages. score: `selection_score` of its values. improvement: the same of its paired improvements
            over the behaviour. verdict: its verdict's kind.
    """

    name: str
    score: float
    improvement: float
    verdict: str


class Choice(NamedTuple):
    """Order of the candidates, best first, the index of the one selected (None: keep the behaviour), and why."""

    order: list[int]
    selected: int | None
    reason: str


def eligible(contender: Contender) -> bool:
    """Whether a candidate may be selected: not outside the data, and better than the behaviour for certain."""
    return contender.verdict != OUTSIDE and contender.improvement > 0.0


def choose(contenders: Sequence[Contender]) -> Choice:
    """Rank by score, those outside the data last, and select the first that may be selected.

    Equal scores keep the order given. A score that is not a number ranks last of its kind.
    """

    def place(index: int) -> tuple[bool, float]:
        score = contenders[index].score
        return contenders[index].verdict == OUTSIDE, inf if isnan(score) else -score

    order = sorted(range(len(contenders)), key=place)
    for index in order:
        if eligible(contenders[index]):
            return Choice(order, index, _why(contenders[index]))
    return Choice(order, None, _why_none(contenders))


def _why(best: Contender) -> str:
    return (
        f"{best.name} is better than the behaviour by at least {best.improvement:.4g} discounted return an episode"
        " (95% lower bound), by the most doubtful of its estimates"
    )


def _why_none(contenders: Sequence[Contender]) -> str:
    """What stood in the way of the candidate that came nearest."""
    inside = [each for each in contenders if each.verdict != OUTSIDE]
    if not inside:
        return "keep the behaviour policy: every candidate acts outside the data, where no estimate can be trusted"
    nearest = max(inside, key=lambda each: each.improvement)
    return (
        f"keep the behaviour policy: no candidate beats it for certain; the nearest, {nearest.name}, may be"
        f" {'worse by' if nearest.improvement < 0 else 'better by no more than'} {abs(nearest.improvement):.4g}"
        " discounted return an episode (95% lower bound)"
    )
