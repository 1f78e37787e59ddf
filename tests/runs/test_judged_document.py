"""What is read out of a candidate's document: its verdict, and what is certain of it, with and without the model."""

from __future__ import annotations

from typing import Any

import pytest

from orl.runs.judged_document import certainty_of, model_is_heard, verdict_of

QUIET = {"effective": 5.0, "episodes": 100, "far_share": 0.0, "clipped": False}


def part(low: float | None, value: float | None, high: float | None) -> dict[str, Any]:
    """An estimate of a value, and of an improvement over a behaviour that is worth 10."""
    ends = ("low", low), ("value", value), ("high", high), ("least", low)
    less = {key: None if x is None else x - 10.0 for key, x in ends}
    return {"low": low, "value": value, "high": high, "improvement": less, "detail": {"effective": None}}


def document(algorithm: str = "mopo", **estimates: dict[str, Any]) -> dict[str, Any]:
    behaviour = {"value": 10.0, "spread": 5.0}
    return {"algorithm": algorithm, "behaviour": behaviour, "support": dict(QUIET), "estimates": estimates}


AGREED = {"fqe": part(12.0, 13.0, 14.0), "model": part(13.0, 15.0, 17.0), "penalised_model": part(8.0, 9.0, 10.0)}
APART = {"fqe": part(12.0, 13.0, 14.0), "model": part(5.0, 6.0, 7.0), "penalised_model": part(1.0, 2.0, 3.0)}


def test_estimates_that_agree() -> None:
    """Bounds of 2 (fitted Q) and -2 (penalised)."""
    assert verdict_of(document(**AGREED)).kind == "agree"
    assert certainty_of(document(**AGREED)) == (0.0, 2.0, "fqe")
    assert certainty_of(document(**AGREED), model=False) == (2.0, 2.0, "fqe")


def test_a_model_far_below_takes_fitted_q_down_with_it_unless_it_is_not_heard() -> None:
    """The model's bound is 5 - 10."""
    found = verdict_of(document(**APART))
    assert (found.kind, found.pair, found.distance) == ("disagree", ("model", "fqe"), pytest.approx(7.0))
    assert certainty_of(document(**APART)) == (-7.0, -5.0, "fqe")
    assert certainty_of(document(**APART), model=False) == (2.0, 2.0, "fqe")


def test_a_model_is_heard_unless_it_contradicts_fitted_q_on_a_clone() -> None:
    assert model_is_heard([document(**APART), document("bc", **AGREED)])
    assert not model_is_heard([document(**AGREED), document("bc", **AGREED), document("bc", **APART)])
    assert model_is_heard([document("bc", fqe=AGREED["fqe"])])


def test_what_is_no_number_is_not_heard() -> None:
    """A penalised value that is not finite is written as None."""
    found = document(fqe=AGREED["fqe"], penalised_model=part(None, None, None))
    assert certainty_of(found) == (2.0, 2.0, "fqe")
    assert verdict_of(found).kind == "agree"


def test_outside_the_data_the_model_alone_is_heard() -> None:
    found = document(**AGREED)
    found["support"] |= {"far_share": 0.21, "effective": 1.9}
    assert verdict_of(found).kind == "outside the data: do not trust"
    assert certainty_of(found) == (-2.0, -2.0, "penalised_model")
    assert certainty_of(found, model=False).witness is None
