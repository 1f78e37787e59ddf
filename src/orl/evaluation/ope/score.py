"""How much better than the behaviour a policy surely is, and the choice among policies by it.

Each witness gives a lower bound (95%, one-sided) on the improvement. Bounds that hold do not contradict each other: a
low one says little, not the opposite. So a policy is certainly better by the greatest of them, and what needs care is
who is heard:

* fitted Q and its doubly robust correction know the actions of the log. Of a policy that is outside the data they say
  what their networks make up, with intervals that do not show it.
* the penalised model may speak of anything: it is a lower bound by construction (the penalised MDP of MOPO,
  arXiv:2005.13239), as far as its price covers the model's error. Near the log it says less than fitted Q, which pays
  no price.
* of two estimates that contradict each other the higher is believed no more than the lower.
* the model has to stand a trial: a clone of the behaviour stays with the log's actions, where fitted Q is at its best.
  A model that contradicts fitted Q on the clone is wrong about the log itself, and is heard of no candidate.

Candidates are ranked by the mean of these bounds. It is below the greatest of them, so it holds where that
one does, and no single witness makes a candidate the first of many by its luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import NamedTuple

from orl.evaluation.ope.methods import FQE, LABELS, MODEL, PENALISED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import ENOUGH_EPISODES, OUTSIDE, Verdict

# Importance sampling by itself is no witness: where its interval says something the doubly robust estimate, which uses
# the same weights, says it better. Nor is the bare model: policies trained in it exploit its errors.
WITNESSES = (FQE, WEIGHTED_DOUBLY_ROBUST, PENALISED)


class Certainty(NamedTuple):
    """What is certain of a policy's improvement over the behaviour, in discounted return an episode.

    Attributes:
        score: mean of the lower bounds (95%) that are believed; candidates are ranked by it.
        improvement: the greatest of them. witness: whose it is; None where nobody was heard (both then minus infinity).
    """

    score: float
    improvement: float
    witness: str | None


def certainty(
    improvements: Mapping[str, Estimate], kind: str, pair: tuple[str, str] | None = None, diverged: bool = False
) -> Certainty:
    """What the witnesses say of a policy's paired differences to the behaviour.

    Args:
        improvements: by method. kind, pair: of the verdict. diverged: whether fitted Q evaluation did.
    """
    bounds = believed(improvements, kind, pair, diverged)
    if not bounds:
        return Certainty(-inf, -inf, None)
    witness = max(bounds, key=lambda name: bounds[name])
    return Certainty(sum(bounds.values()) / len(bounds), bounds[witness], witness)


def believed(
    estimates: Mapping[str, Estimate], kind: str, pair: tuple[str, str] | None = None, diverged: bool = False
) -> dict[str, float]:
    """The one-sided lower bounds of the witnesses that are heard, as far as they are believed: see the module.

    One that is not a number is not heard. The doubly robust one needs `ENOUGH_EPISODES` effective episodes (its detail
    `effective`); below, a few episodes carry the correction.
    """
    silent = (FQE, WEIGHTED_DOUBLY_ROBUST) if kind == OUTSIDE or diverged else ()
    spoken = [name for name in WITNESSES if name in estimates and name not in silent and _has_enough(estimates[name])]
    bounds = {name: estimates[name].least for name in spoken}
    if pair is not None:
        lower, higher = pair
        # a policy that has found an error of the model has found one that its price does not cover
        doubted = PENALISED if higher == MODEL else higher
        if doubted in bounds:
            bounds[doubted] = min(bounds[doubted], estimates[lower].least)
    return {name: bound for name, bound in bounds.items() if isfinite(bound)}


def model_is_refuted(clone: Verdict) -> bool:
    """Whether the verdict on a clone of the behaviour (bc) is that the model and fitted Q contradict each other."""
    return clone.pair is not None and set(clone.pair) == {FQE, MODEL}


def _has_enough(estimate: Estimate) -> bool:
    """Whether enough effective episodes stand behind an estimate that rests on importance weights; True of others."""
    return estimate.detail.get("effective", inf) >= ENOUGH_EPISODES


class Contender(NamedTuple):
    """What the choice sees of a candidate: a name for messages, what is certain of it, its verdict's kind."""

    name: str
    certain: Certainty
    verdict: str


class Choice(NamedTuple):
    """Order of the candidates, best first, the index of the one selected (None: keep the behaviour), and why."""

    order: list[int]
    selected: int | None
    reason: str


def choose(contenders: Sequence[Contender]) -> Choice:
    """Rank by score and select the first that is certainly better than the behaviour; equal scores keep their order."""
    order = sorted(range(len(contenders)), key=lambda index: -contenders[index].certain.score)
    for index in order:
        if contenders[index].certain.improvement > 0.0:
            return Choice(order, index, _why(contenders[index]))
    return Choice(order, None, _why_none(contenders))


def _why(best: Contender) -> str:
    assert best.certain.witness is not None
    words = (
        f"{best.name} is better than the behaviour by at least {best.certain.improvement:.4g} discounted return an"
        f" episode (95% lower bound, {LABELS[best.certain.witness]})"
    )
    if best.verdict != OUTSIDE:
        return words
    return (
        f"{words}; it does what the log has not seen, so only the model speaks for it: try it under supervision first"
    )


def _why_none(contenders: Sequence[Contender]) -> str:
    """What stood in the way of the candidate that came nearest."""
    nearest = max(contenders, key=lambda each: each.certain.improvement)
    if nearest.certain.witness is None:
        return "keep the behaviour policy: of no candidate is there an estimate that can be trusted"
    return (
        f"keep the behaviour policy: no candidate beats it for certain; the nearest, {nearest.name}, may be"
        f" {'worse by' if nearest.certain.improvement < 0 else 'better by no more than'}"
        f" {abs(nearest.certain.improvement):.4g} discounted return an episode (95% lower bound)"
    )
