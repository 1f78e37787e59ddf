"""Agreement, contradiction and distrust, from estimates made by hand."""

from __future__ import annotations

import pytest

from orl.evaluation.ope.methods import DOUBLY_ROBUST, FQE, MODEL, PENALISED, WEIGHTED
from orl.evaluation.ope.types import Estimate
from orl.evaluation.ope.verdict import AGREE, DISAGREE, OUTSIDE, Scale, Support, judge

WELL_SUPPORTED = Support(effective=40.0, episodes=100, far_share=0.02)
SCALE = Scale(mean=0.0, spread=10.0)  # so differences up to 1 do not matter


def estimates(**bounds: tuple[float, float]) -> dict[str, Estimate]:
    """By method, (low, high) around their middle."""
    return {name: Estimate(name, (low + high) / 2, low, high, {}) for name, (low, high) in bounds.items()}


def test_overlapping_intervals_agree() -> None:
    verdict = judge(estimates(**{FQE: (1, 5), DOUBLY_ROBUST: (4, 8), MODEL: (4.5, 12)}), WELL_SUPPORTED, SCALE)
    assert (verdict.kind, verdict.pair, verdict.distance) == (AGREE, None, None)


def test_the_farthest_disjoint_pair_is_named_with_its_distance() -> None:
    """fqe 3, doubly robust 6 (overlap), model 20: both are below the model, fqe by more."""
    found = estimates(**{FQE: (1, 5), DOUBLY_ROBUST: (4, 8), MODEL: (18, 22)})
    verdict = judge(found, WELL_SUPPORTED, SCALE)
    assert (verdict.kind, verdict.pair, verdict.distance) == (DISAGREE, (FQE, MODEL), 17.0)
    assert "model is 17 above fitted Q" in verdict.reason
    assert "exploits" in verdict.reason


def test_an_immaterial_difference_is_agreement_however_narrow_the_intervals() -> None:
    """Values 0.9 apart at a spread of 10; 1.1 apart is a contradiction, and 0.9 at a spread of 8 is one too."""
    near, far = (estimates(**{FQE: (0, 0.1), DOUBLY_ROBUST: (d, d + 0.1)}) for d in (0.9, 1.1))
    assert judge(near, WELL_SUPPORTED, SCALE).kind == AGREE
    assert judge(far, WELL_SUPPORTED, SCALE).kind == DISAGREE
    assert judge(near, WELL_SUPPORTED, Scale(0.0, 8.0)).kind == DISAGREE
    assert judge(near, WELL_SUPPORTED, Scale(-100.0, 8.0)).kind == AGREE  # below 1% of the value


def test_the_penalised_model_may_be_low() -> None:
    assert judge(estimates(**{FQE: (1, 5), PENALISED: (-90, -80)}), WELL_SUPPORTED, SCALE).kind == AGREE


def test_importance_sampling_is_heard_only_on_enough_episodes() -> None:
    found = estimates(**{FQE: (1, 5), WEIGHTED: (-90, -80)})
    assert judge(found, Support(9.9, 100, 0.02), SCALE).kind == AGREE
    assert judge(found, Support(10.0, 100, 0.02), SCALE).pair == (WEIGHTED, FQE)


@pytest.mark.parametrize(
    ("effective", "episodes", "far_share", "outside"),
    [
        (4.9, 100, 0.21, True),
        (5.0, 100, 0.21, False),  # 5% of the episodes count
        (4.9, 100, 0.20, False),  # a fifth of the states is still a fifth
        (1.9, 20, 0.21, True),  # 5% of 20 episodes would be 1, but two is the least that counts
        (2.0, 20, 0.21, False),
    ],
)
def test_outside_needs_tiny_samples_and_untried_actions(
    effective: float, episodes: int, far_share: float, outside: bool
) -> None:
    verdict = judge(estimates(**{FQE: (1, 5)}), Support(effective, episodes, far_share), SCALE)
    assert (verdict.kind == OUTSIDE) == outside


def test_outside_comes_before_disagreement_and_gives_its_figures() -> None:
    found = estimates(**{FQE: (1, 5), MODEL: (18, 22)})
    verdict = judge(found, Support(1.2, 100, 0.834), SCALE)
    assert verdict.kind == OUTSIDE
    assert "in 83% of the logged states" in verdict.reason
    assert "only 1.2 of 100 logged episodes" in verdict.reason


def test_the_likely_cause_depends_on_the_pair() -> None:
    def words(low: str, high: str, clipped: bool = False) -> str:
        found = estimates(**{low: (0, 1), high: (50, 51)})
        return judge(found, WELL_SUPPORTED._replace(clipped=clipped), SCALE).reason

    assert "exploits its errors" in words(FQE, MODEL)
    assert "errors compound" in words(MODEL, FQE)
    assert "Q is biased" in words(FQE, DOUBLY_ROBUST)
    assert "Q extrapolates" in words(WEIGHTED, FQE)
    assert "limits that rewards allow" in words(MODEL, FQE, clipped=True)
    assert "limits that rewards allow" not in words(DOUBLY_ROBUST, MODEL, clipped=True)
