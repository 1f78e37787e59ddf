"""Where observations fall in what was predicted: by hand, for draws from the prediction itself, and token by token."""

from __future__ import annotations

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.evaluation.diagnosis.transforms import binned_score, ensemble_scores, mixture_score, sequence_scores
from orl.runs.sequences import bare_discretiser
from orl.sequence.config import TransformerConfig
from orl.sequence.model import SequenceModel
from orl.types import Transition

NORMAL = NormalDist()


def test_the_score_of_a_gaussian_is_its_residual_far_into_both_tails() -> None:
    z = np.asarray([-7.0, -0.3, 0.0, 2.0, 7.0])
    np.testing.assert_allclose(mixture_score(jnp.asarray(z)[None]), z, rtol=1e-4, atol=1e-6)


def test_the_score_of_a_mixture_by_hand() -> None:
    """Between two components it is 0; at one's centre, far above the other, three quarters lie below."""
    np.testing.assert_allclose(mixture_score(jnp.asarray([[2.0], [-2.0]])), [0.0], atol=1e-6)
    np.testing.assert_allclose(mixture_score(jnp.asarray([[0.0], [30.0]])), [NORMAL.inv_cdf(0.75)], rtol=1e-5)


def test_the_score_within_a_bin_by_hand() -> None:
    probs = jnp.asarray([[0.25, 0.5, 0.25]] * 3)
    found = binned_score(probs, jnp.asarray([1, 0, 2]), jnp.asarray([0.5, 0.5, 0.9]))
    np.testing.assert_allclose(found, [0.0, NORMAL.inv_cdf(0.125), NORMAL.inv_cdf(0.975)], atol=1e-5)


def test_draws_from_the_elites_have_standard_normal_scores() -> None:
    """Elites 0 and 2 add 1 or 5 with spreads 0.5 and 2; member 1 has no say. Rewards have spreads of their own."""
    rng = np.random.default_rng(0)
    mean, std = np.asarray([[1.0, -1.0], [99.0, 99.0], [5.0, 3.0]]), np.asarray([[0.5, 0.1], [1.0, 1.0], [2.0, 4.0]])
    fitted = constant_ensemble(mean, std, (0, 2))
    member = rng.choice([0, 2], 4000)
    drawn = mean[member] + std[member] * rng.normal(size=(4000, 2))
    obs = rng.normal(size=(4000, 1))
    arrays = (obs, np.zeros((4000, 1)), drawn[:, 1], obs + drawn[:, :1], np.zeros(4000))
    scores = ensemble_scores(*fitted, Transition(*(jnp.asarray(x, jnp.float32) for x in arrays)))
    levels = np.linspace(0.05, 0.95, 19)
    for column in scores.T:
        np.testing.assert_allclose(np.quantile(column, levels), [NORMAL.inv_cdf(p) for p in levels], atol=0.1)


def test_sequence_scores_are_those_of_one_token_after_the_other() -> None:
    """Every number by the logits after the token before it; past values are the highest bin, whatever was logged."""
    config = TransformerConfig(layers=1, heads=2, width=8, bins=5, window=4, value_input="token")
    model = SequenceModel(config, obs_dim=2, action_dim=1)
    discretiser = bare_discretiser(model)._replace(counts=jnp.full(model.layout.dims, 5, jnp.int32))
    params = model.init(jax.random.key(0), discretiser)
    params = params._replace(net=jax.tree.map(lambda x: 20 * x, params.net))  # else every bin is as likely
    tokens = np.random.default_rng(1).integers(0, 5, (7, 3, model.layout.dims))
    scores = sequence_scores(model, params, jnp.asarray(tokens), jax.random.key(2))
    uniform = np.asarray(jax.random.uniform(jax.random.key(2), (7, 3)))
    told = tokens.copy()
    told[..., -1] = 4
    # the last transition's tokens are 10 and 11 (obs), 12, 13 (reward) and 14
    probs = np.asarray(jax.nn.softmax(jax.jit(model.logits)(params, jnp.asarray(told.reshape(7, 15)))), np.float64)
    checked = 0
    for row in range(7):
        for column, before in enumerate(
            [9, 10, 12]
        ):  # the last transition's tokens are 10, 11 (obs), 12 and 13 (reward)
            token, p = told.reshape(7, 15)[row, before + 1], probs[row, before]
            expected = NORMAL.inv_cdf(np.clip(p[:token].sum() + uniform[row, column] * p[token], 1e-9, 1 - 1e-9))
            if abs(expected) < 4:
                assert scores[row, column] == pytest.approx(expected, abs=2e-2)
                checked += 1
    assert checked > 10
