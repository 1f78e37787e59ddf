"""The selection score and the choice, by hand."""

from __future__ import annotations

import math

import pytest

from orl.evaluation.ope.methods import FQE, MODEL, PENALISED, PER_DECISION, WEIGHTED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.score import Contender, choose, selection_score
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import AGREE, DISAGREE, OUTSIDE


def estimates(**bounds: tuple[float, float]) -> dict[str, Estimate]:
    """By method, (low, high) around their middle."""
    return {name: Estimate(name, (low + high) / 2, low, high, {}) for name, (low, high) in bounds.items()}


def test_the_score_is_the_least_lower_bound_of_the_witnesses() -> None:
    found = estimates(**{FQE: (4.0, 9.0), WEIGHTED_DOUBLY_ROBUST: (3.0, 8.0), PENALISED: (1.0, 2.0)})
    assert selection_score(found) == 1.0
    del found[PENALISED]
    assert selection_score(found) == 3.0
    del found[WEIGHTED_DOUBLY_ROBUST]
    assert selection_score(found) == 4.0


def test_the_doubly_robust_witness_is_heard_on_enough_effective_episodes() -> None:
    found = estimates(**{FQE: (4.0, 9.0), WEIGHTED_DOUBLY_ROBUST: (3.0, 8.0)})
    found[WEIGHTED_DOUBLY_ROBUST].detail["effective"] = 9.9
    assert selection_score(found) == 4.0
    found[WEIGHTED_DOUBLY_ROBUST].detail["effective"] = 10.0
    assert selection_score(found) == 3.0


def test_importance_sampling_and_the_bare_model_are_no_witnesses() -> None:
    """A collapsed importance interval far below, or an exploited model's, moves nothing."""
    found = estimates(**{FQE: (4.0, 9.0), WEIGHTED: (-50.0, 0.0), PER_DECISION: (-9.0, 1.0), MODEL: (0.0, 1.0)})
    assert selection_score(found) == 4.0
    del found[FQE]
    assert selection_score(found) == -math.inf


def test_a_witness_that_is_not_a_number_vouches_for_nothing() -> None:
    for names in ((FQE, WEIGHTED_DOUBLY_ROBUST), (WEIGHTED_DOUBLY_ROBUST, FQE)):
        found = estimates(**{names[0]: (math.nan, math.nan), names[1]: (3.0, 8.0)})
        assert selection_score(found) == -math.inf


def test_the_best_by_score_that_is_surely_better_is_selected() -> None:
    """b has the higher score but may be no better than the behaviour; c is worse."""
    choice = choose(
        [Contender("a", 5.0, 0.5, DISAGREE), Contender("b", 6.0, -0.1, AGREE), Contender("c", 1.0, 9, AGREE)]
    )
    assert choice.order == [1, 0, 2]
    assert choice.selected == 0
    assert choice.reason.startswith("a is better than the behaviour by at least 0.5 discounted return")


def test_nobody_outside_the_data_is_selected_and_they_rank_last() -> None:
    choice = choose([Contender("a", 9.0, 5.0, OUTSIDE), Contender("b", 1.0, -2.0, AGREE)])
    assert (choice.order, choice.selected) == ([1, 0], None)
    assert choice.reason.startswith("keep the behaviour policy")
    assert "the nearest, b, may be worse by 2 " in choice.reason


def test_an_improvement_of_exactly_nothing_is_none() -> None:
    choice = choose([Contender("a", 9.0, 0.0, AGREE)])
    assert choice.selected is None
    assert "a, may be better by no more than 0 " in choice.reason


def test_all_outside_is_said_so() -> None:
    choice = choose([Contender("a", 9.0, 5.0, OUTSIDE)])
    assert choice.selected is None
    assert "every candidate acts outside the data" in choice.reason


@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_what_nobody_vouches_for_ranks_below_numbers(score: float) -> None:
    choice = choose([Contender("a", score, score, AGREE), Contender("b", -1e9, 1.0, AGREE)])
    assert (choice.order, choice.selected) == ([1, 0], 1)


def test_equal_scores_keep_their_order() -> None:
    choice = choose([Contender("a", 1.0, 1.0, AGREE), Contender("b", 1.0, 1.0, AGREE)])
    assert (choice.order, choice.selected) == ([0, 1], 0)
