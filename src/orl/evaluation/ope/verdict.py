"""Whether the estimates of a policy's value agree, contradict each other, or should not be believed at all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from orl.evaluation.ope.methods import (
    DOUBLY_ROBUST,
    FQE,
    LABELS,
    MODEL,
    PENALISED,
    PER_DECISION,
    WEIGHTED,
    WEIGHTED_DOUBLY_ROBUST,
)
from orl.evaluation.ope.types import Estimate

AGREE, DISAGREE, OUTSIDE = "agree", "disagree", "outside the data: do not trust"

# An action is far from the behaviour's where fewer than this share of the logged actions are as many spreads of the
# fitted behaviour away from its mean (`behaviour.action_distance`).
FAR_QUANTILE = 0.01
# More logged states than this with a far action, and values rest on actions that nobody has tried: who does so at every
# fifth step is elsewhere after a few. By chance it is 1%.
FAR_SHARE = 0.2
# Fewer effective episodes than this share of the log (or than two) say nothing about the policy's actions.
TINY_SHARE, TINY_EPISODES = 0.05, 2.0
# Importance weights join the comparison from so many effective episodes on; below, their intervals are a fiction.
ENOUGH_EPISODES = 10.0
# Differences below this share of the spread of logged returns (or of the behaviour's value) do not matter.
MATERIAL_SPREAD, MATERIAL_VALUE = 0.1, 0.01


class Support(NamedTuple):
    """How much the log can say about a policy.

    Attributes:
        effective: episodes that importance sampling effectively rests on (`importance.effective_episodes`).
        episodes: in the log.
        far_share: share of logged states at which the policy's action is far from the behaviour's (`FAR_QUANTILE`).
        clipped: whether fitted Q evaluation ended at the limits of what rewards allow, i.e. diverged.
    """

    effective: float
    episodes: int
    far_share: float
    clipped: bool = False


class Verdict(NamedTuple):
    """`kind` is AGREE, DISAGREE or OUTSIDE; `reason` one plain sentence; `pair` and `distance` of a disagreement."""

    kind: str
    reason: str
    pair: tuple[str, str] | None = None
    distance: float | None = None


class Scale(NamedTuple):
    """What a difference is held against: mean and standard deviation of the logged discounted returns over episodes."""

    mean: float
    spread: float

    @property
    def material(self) -> float:
        """The smallest difference worth a word, in discounted return."""
        return max(MATERIAL_SPREAD * self.spread, MATERIAL_VALUE * abs(self.mean))


def judge(estimates: Mapping[str, Estimate], support: Support, scale: Scale) -> Verdict:
    """The verdict on a policy from its estimates by method.

    Outside the data comes first: estimates that share one blind spot agree there, too. Then the two comparable
    estimates that lie farthest apart are looked at; they contradict each other where their intervals are disjoint and
    the distance of the values is material.
    """
    if is_outside(support):
        return Verdict(OUTSIDE, outside_words(support))
    worst = farthest_pair(estimates, support, scale)
    if worst is None:
        names = ", ".join(LABELS[name] for name in comparable(estimates, support))
        return Verdict(AGREE, f"no two contradict each other ({names})")
    low, high = worst
    distance = estimates[high].value - estimates[low].value
    cause = likely_cause(low, high, support)
    words = f"{LABELS[high]} is {distance:.4g} above {LABELS[low]}, beyond both intervals: {cause}"
    return Verdict(DISAGREE, words, worst, distance)


def is_outside(support: Support) -> bool:
    """Tiny effective sample AND mostly untried actions: either alone is no alarm.

    Over long episodes the effective sample of any deterministic policy is tiny; and actions far from the behaviour's
    matter little where importance sampling still finds episodes that go the policy's way.
    """
    tiny = support.effective < max(TINY_EPISODES, TINY_SHARE * support.episodes)
    return tiny and support.far_share > FAR_SHARE


def outside_words(support: Support) -> str:
    """Why a policy is outside the data."""
    return (
        f"in {100 * support.far_share:.0f}% of the logged states it does what the behaviour practically never did, and"
        f" only {support.effective:.1f} of {support.episodes} logged episodes effectively tell of it"
    )


def comparable(estimates: Mapping[str, Estimate], support: Support) -> list[str]:
    """The methods whose intervals mean to cover the policy's value: not the penalised model, which is meant to be low,
    and what rests on importance weights only on enough effective episodes."""
    left_out = {PENALISED}
    if support.effective < ENOUGH_EPISODES:
        left_out |= {WEIGHTED, PER_DECISION, DOUBLY_ROBUST, WEIGHTED_DOUBLY_ROBUST}
    return [name for name in estimates if name not in left_out]


def farthest_pair(estimates: Mapping[str, Estimate], support: Support, scale: Scale) -> tuple[str, str] | None:
    """(lower, higher) method of the greatest material contradiction, None without one."""
    pairs = [
        tuple(sorted(pair, key=lambda name: estimates[name].value))
        for pair in combinations(comparable(estimates, support), 2)
    ]
    apart = [
        (estimates[high].value - estimates[low].value, (low, high))
        for low, high in pairs
        if estimates[low].high < estimates[high].low and estimates[high].value - estimates[low].value > scale.material
    ]
    return max(apart)[1] if apart else None


def likely_cause(low: str, high: str, support: Support) -> str:
    """The usual reason why the method `high` ends above `low`."""
    if FQE in (low, high) and support.clipped:
        return (
            "fitted Q evaluation ran into the limits that rewards allow; it needs more data or a smaller learning rate"
        )
    if high == MODEL:
        return "the model promises what the log does not bear out, so the policy probably exploits its errors"
    if low == MODEL:
        return "the model foresees worse than the log shows; its errors compound, or its episodes end too early"
    if {low, high} == {FQE, DOUBLY_ROBUST}:
        return "along the logged episodes Q is biased, or a few episodes carry the weights"
    return "Q extrapolates to actions that the log lacks, or the fitted density of the behaviour is wrong"
