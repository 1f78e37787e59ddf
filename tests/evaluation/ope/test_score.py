"""What is certain of an improvement, and the choice by it, by hand."""

from __future__ import annotations

import math

import pytest

from orl.evaluation.ope.methods import FQE, MODEL, PENALISED, PER_DECISION, WEIGHTED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.score import Certainty, Contender, believed, certainty, choose
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import AGREE, DISAGREE, OUTSIDE


def estimates(**bounds: tuple[float, float]) -> dict[str, Estimate]:
    """By method, (least, high) around their middle; the two-sided interval begins 100 lower, and is not asked."""
    return {name: Estimate(name, (low + high) / 2, low - 100, high, {}, low) for name, (low, high) in bounds.items()}


ALL = {FQE: (4.0, 9.0), WEIGHTED_DOUBLY_ROBUST: (3.0, 8.0), PENALISED: (-1.0, 2.0)}


def contender(name: str, score: float, improvement: float, verdict: str = AGREE) -> Contender:
    return Contender(name, Certainty(score, improvement, FQE), verdict)


def test_the_greatest_bound_is_certain_and_the_mean_is_the_score() -> None:
    found = estimates(**ALL)
    assert certainty(found, AGREE) == (2.0, 4.0, FQE)
    del found[FQE]
    assert certainty(found, AGREE) == (1.0, 3.0, WEIGHTED_DOUBLY_ROBUST)
    del found[WEIGHTED_DOUBLY_ROBUST]
    assert certainty(found, AGREE) == (-1.0, -1.0, PENALISED)


def test_outside_the_data_only_the_penalised_model_is_heard() -> None:
    found = estimates(**ALL)
    assert certainty(found, OUTSIDE) == (-1.0, -1.0, PENALISED)
    del found[PENALISED]
    assert certainty(found, OUTSIDE) == (-math.inf, -math.inf, None)


def test_a_fitted_q_that_diverged_is_not_heard_nor_what_corrects_it() -> None:
    assert believed(estimates(**ALL), AGREE, diverged=True) == {PENALISED: -1.0}


def test_the_higher_of_two_that_contradict_each_other_is_believed_no_more_than_the_lower() -> None:
    """Where that is the bare model, neither is its penalised value: the price did not cover what was found in it."""
    found = estimates(**ALL, **{PER_DECISION: (-7.0, 0.0), MODEL: (10.0, 12.0)})
    doubted = believed(found, DISAGREE, (PER_DECISION, FQE))
    assert doubted == {FQE: -7.0, WEIGHTED_DOUBLY_ROBUST: 3.0, PENALISED: -1.0}
    found[PENALISED] = Estimate(PENALISED, 6.0, 4.5, 7.0, {}, 5.0)
    assert believed(found, DISAGREE, (FQE, MODEL)) == {FQE: 4.0, WEIGHTED_DOUBLY_ROBUST: 3.0, PENALISED: 4.0}
    assert believed(found, DISAGREE, (MODEL, WEIGHTED))[PENALISED] == 5.0


def test_a_contradiction_makes_no_candidate_rank_higher() -> None:
    found = estimates(**ALL, **{MODEL: (10.0, 12.0)})
    assert certainty(found, DISAGREE, (FQE, MODEL)) == certainty(found, AGREE) == (2.0, 4.0, FQE)


def test_the_doubly_robust_witness_is_heard_on_enough_effective_episodes() -> None:
    found = estimates(**ALL)
    found[WEIGHTED_DOUBLY_ROBUST].detail["effective"] = 9.9
    assert believed(found, AGREE) == {FQE: 4.0, PENALISED: -1.0}
    found[WEIGHTED_DOUBLY_ROBUST].detail["effective"] = 10.0
    assert set(believed(found, AGREE)) == {FQE, WEIGHTED_DOUBLY_ROBUST, PENALISED}


def test_importance_sampling_and_the_bare_model_are_no_witnesses() -> None:
    """An exploited model's bound far above, or a collapsed importance interval, moves nothing."""
    found = estimates(**{FQE: (4.0, 9.0), WEIGHTED: (50.0, 60.0), PER_DECISION: (9.0, 10.0), MODEL: (70.0, 80.0)})
    assert certainty(found, AGREE) == (4.0, 4.0, FQE)


@pytest.mark.parametrize("bound", [math.nan, -math.inf, math.inf])
def test_a_witness_whose_bound_is_not_a_number_is_not_heard(bound: float) -> None:
    found = estimates(**ALL)
    found[FQE] = Estimate(FQE, 5.0, 4.0, 9.0, {}, bound)
    assert certainty(found, AGREE) == (1.0, 3.0, WEIGHTED_DOUBLY_ROBUST)


def test_the_best_by_score_that_is_surely_better_is_selected() -> None:
    """b has the highest score but may be no better than the behaviour; c is better for certain by more, and behind."""
    choice = choose([contender("a", 0.4, 0.5, DISAGREE), contender("b", 6.0, -0.1), contender("c", -3.0, 9.0)])
    assert choice.order == [1, 0, 2]
    assert choice.selected == 0
    assert choice.reason == (
        "a is better than the behaviour by at least 0.5 discounted return an episode (95% lower bound, fitted Q)"
    )


def test_one_outside_the_data_is_selected_with_a_warning() -> None:
    choice = choose([Contender("a", Certainty(1.0, 1.0, PENALISED), OUTSIDE), contender("b", -1.0, -2.0)])
    assert (choice.order, choice.selected) == ([0, 1], 0)
    assert "(95% lower bound, model, penalised); it does what the log has not seen" in choice.reason


def test_an_improvement_of_exactly_nothing_is_none() -> None:
    choice = choose([contender("a", 9.0, 0.0)])
    assert choice.selected is None
    assert "a, may be better by no more than 0 " in choice.reason


def test_the_nearest_is_named_where_none_is_better() -> None:
    choice = choose([contender("a", -1.0, -3.0), contender("b", -2.0, -2.0)])
    assert (choice.order, choice.selected) == ([0, 1], None)
    assert "the nearest, b, may be worse by 2 " in choice.reason


def test_where_nobody_is_heard_it_is_said_so() -> None:
    choice = choose([Contender("a", Certainty(-math.inf, -math.inf, None), OUTSIDE)])
    assert choice.selected is None
    assert choice.reason == "keep the behaviour policy: of no candidate is there an estimate that can be trusted"


def test_what_nobody_vouches_for_ranks_below_numbers() -> None:
    choice = choose([Contender("a", Certainty(-math.inf, -math.inf, None), AGREE), contender("b", -1e9, 1.0)])
    assert (choice.order, choice.selected) == ([1, 0], 1)


def test_equal_scores_keep_their_order() -> None:
    choice = choose([contender("a", 1.0, 1.0), contender("b", 1.0, 1.0)])
    assert (choice.order, choice.selected) == ([0, 1], 0)
