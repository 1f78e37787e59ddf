"""The theorems' terms, by hand, and on a chain whose occupancy is a geometric series."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.evaluation.diagnosis.theorem import guarantee
from orl.mdp.rollout import discounted_total, rollout
from orl.types import Array, Params, Step


def test_a_gain_that_is_covered_by_half() -> None:
    """+40 promised, lambda 5, eps_u 4 of the policy and 1 of the behaviour: 20 is left, 10 may be lost."""
    assert guarantee(5.0, 3.0, 40.0, 4.0, 1.0) == (5.0, True, 20.0, 10.0, 20.0, 0.5)


@pytest.mark.parametrize(("gain", "covered"), [(10.0, 0.0), (80.0, 0.75), (0.0, None), (-5.0, None)])
def test_nothing_is_covered_beyond_none_or_all_of_a_gain(gain: float, covered: float | None) -> None:
    found = guarantee(5.0, None, gain, 4.0, 1.0)
    assert (found.holds, found.covered, found.guaranteed_gain) == (None, covered, gain - 20.0)


def test_a_lambda_below_the_needed_one_covers_nothing() -> None:
    assert guarantee(5.0, 5.1, 80.0, 4.0, 1.0)[1:] == (False, 20.0, 10.0, 60.0, 0.0)
    assert guarantee(5.1, 5.1, 80.0, 4.0, 1.0).holds is True


def test_no_penalty_covers_everything_if_none_is_needed() -> None:
    assert guarantee(0.0, 0.0, 10.0, 4.0, 1.0) == (0.0, True, 0.0, 0.0, 10.0, 1.0)


def chain(params: Params, key: Array, obs: Array, action: Array) -> Step:
    """States 0, 1, 2, ... to the right; u doubles with the state, the reward is the state; state 3 ends."""
    after = obs + 1.0
    return Step(after, obs[:, 0], after[:, 0] > 3.0, 2.0 ** obs[:, 0])


def test_eps_u_is_the_discounted_sum_of_u_until_the_end() -> None:
    """From 0: 1 + 2g + 4g^2 + 8g^3; from 2: 4 + 8g. Nothing counts after the end, nor beyond the horizon."""
    g = 0.5
    start = jnp.asarray([[0.0], [2.0]])
    result = rollout(chain, lambda p, k, obs: jnp.zeros((2, 1)), (), (), jax.random.key(0), start, 10)
    np.testing.assert_allclose(discounted_total(result.uncertainty, result.alive, g), [4.0, 8.0])
    short = rollout(chain, lambda p, k, obs: jnp.zeros((2, 1)), (), (), jax.random.key(0), start, 1)
    np.testing.assert_allclose(discounted_total(short.uncertainty, short.alive, g), [1.0, 4.0])
