"""Each uncertainty against an independent brute force, and the relations between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from orl.dynamics.ensemble import Prediction
from orl.dynamics.uncertainty import UNCERTAINTIES, max_deviation, max_pairwise, max_std

E, B, D = 5, 7, 4


def random_prediction(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, stds [E, B, D] and a scale [D], float64."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(E, B, D)) * 3, rng.uniform(0.1, 2.0, (E, B, D)), rng.uniform(0.2, 4.0, D)


def value(name: str, mean: np.ndarray, std: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Our measure of NumPy arrays."""
    return np.asarray(UNCERTAINTIES[name](Prediction(jnp.asarray(mean), jnp.asarray(std)), jnp.asarray(scale)))


def _length(x: np.ndarray) -> float:
    return float(np.sqrt(sum(v * v for v in x)))


def _max_std(mean: np.ndarray, std: np.ndarray) -> float:
    return max(_length(std[i]) for i in range(E))


def _max_deviation(mean: np.ndarray, std: np.ndarray) -> float:
    centre = sum(mean[:, :-1]) / E
    return max(_length(mean[i, :-1] - centre) for i in range(E))


def _max_pairwise(mean: np.ndarray, std: np.ndarray) -> float:
    return max(_length(mean[i, :-1] - mean[j, :-1]) for i, j in itertools.product(range(E), repeat=2))


def _ensemble_std(mean: np.ndarray, std: np.ndarray) -> float:
    variances = [sum((mean[:, d] - mean[:, d].sum() / E) ** 2) / E for d in range(D - 1)]
    return float(np.sqrt(sum(variances) / (D - 1)))


def _mixture_std(mean: np.ndarray, std: np.ndarray) -> float:
    second = [sum(std[:, d] ** 2 + mean[:, d] ** 2) / E - (mean[:, d].sum() / E) ** 2 for d in range(D)]
    return float(np.sqrt(sum(second)))


BRUTE_FORCE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "max_std": _max_std,
    "max_deviation": _max_deviation,
    "max_pairwise": _max_pairwise,
    "ensemble_std": _ensemble_std,
    "mixture_std": _mixture_std,
}


def test_every_measure_has_a_brute_force() -> None:
    """A new measure must come with an independent version here."""
    assert UNCERTAINTIES.keys() == BRUTE_FORCE.keys()


@pytest.mark.parametrize("name", BRUTE_FORCE)
def test_measures_equal_their_brute_force(name: str) -> None:
    """Row by row, member by member, in loops; means and stds in units of the scale."""
    mean, std, scale = random_prediction()
    expected = [BRUTE_FORCE[name](mean[:, row] / scale, std[:, row] / scale) for row in range(B)]
    np.testing.assert_allclose(value(name, mean, std, scale), expected, rtol=1e-5)


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_order_of_the_members_does_not_matter(name: str) -> None:
    """R5: invariant under a permutation of the members."""
    mean, std, scale = random_prediction(1)
    order = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(value(name, mean[order], std[order], scale), value(name, mean, std, scale), rtol=1e-6)


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_rows_do_not_mix(name: str) -> None:
    """R5: shuffled rows give the shuffled values, and a row alone gives the same value (unifloral mixed rows)."""
    mean, std, scale = random_prediction(2)
    whole = value(name, mean, std, scale)
    order = np.asarray([6, 2, 0, 5, 1, 4, 3])
    np.testing.assert_allclose(value(name, mean[:, order], std[:, order], scale), whole[order], rtol=1e-6)
    alone = [value(name, mean[:, [row]], std[:, [row]], scale)[0] for row in range(B)]
    np.testing.assert_allclose(alone, whole, rtol=1e-6)


def test_identical_members_disagree_by_exactly_zero() -> None:
    """Peer bug: unifloral's discrepancy compares different rows, 3.15 for identical members."""
    mean, std, scale = random_prediction(3)
    same = np.repeat(mean[:1], E, axis=0)
    assert not value("max_pairwise", same, std, scale).any()
    np.testing.assert_allclose(value("max_deviation", same, std, scale), 0.0, atol=1e-5)


def test_pairwise_lies_between_one_and_two_deviations() -> None:
    """R5: max_dev <= max_pairwise <= 2 max_dev, both ends attained: three members, then two, on a line."""
    mean, std, scale = random_prediction(4)
    deviation, pairwise = value("max_deviation", mean, std, scale), value("max_pairwise", mean, std, scale)
    assert np.all(deviation <= pairwise)
    assert np.all(pairwise <= 2 * deviation)
    two = Prediction(jnp.asarray([[[0.0, 9.0]], [[6.0, -9.0]]]), jnp.ones((2, 1, 2)))
    assert float(max_deviation(two, jnp.ones(2))[0]) == pytest.approx(3.0)
    assert float(max_pairwise(two, jnp.ones(2))[0]) == pytest.approx(6.0)


def test_max_std_by_hand() -> None:
    """M5: members' stds (3, 4), (1, 1), (0, 6): the last wins by its reward dimension, then the first in new units."""
    std = jnp.asarray([[[3.0, 4.0]], [[1.0, 1.0]], [[0.0, 6.0]]])
    prediction = Prediction(jnp.zeros((3, 1, 2)), std)
    assert float(max_std(prediction, jnp.ones(2))[0]) == pytest.approx(6.0)
    assert float(max_std(prediction, jnp.asarray([1.0, 4.0]))[0]) == pytest.approx(np.sqrt(10.0))


@pytest.mark.parametrize("name", ["max_deviation", "max_pairwise", "ensemble_std"])
def test_disagreement_is_about_the_next_observation_only(name: str) -> None:
    """Members that differ in the reward alone do not disagree."""
    mean, std, scale = random_prediction(5)
    mean[:, :, :-1] = mean[:1, :, :-1]
    np.testing.assert_allclose(value(name, mean, std, scale), 0.0, atol=2e-5)


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_scale_is_a_unit(name: str) -> None:
    """Outputs in centimetres with a scale in centimetres give what metres in metres give."""
    mean, std, scale = random_prediction(6)
    np.testing.assert_allclose(
        value(name, 100 * mean, 100 * std, 100 * scale), value(name, mean, std, scale), rtol=1e-5
    )


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_a_common_shift_of_the_means_changes_nothing(name: str) -> None:
    """Only differences between members and their stds count."""
    mean, std, scale = random_prediction(7)
    shift = np.random.default_rng(8).normal(size=(1, B, D))
    np.testing.assert_allclose(value(name, mean + shift, std, scale), value(name, mean, std, scale), rtol=1e-4)
