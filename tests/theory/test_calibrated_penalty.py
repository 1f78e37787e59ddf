"""A calibrated lambda makes the penalised return a lower bound, and a tenth of it does not: with exact values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import linear_ensemble
from tabular_mdp import occupancy, random_policy, random_transition, read, tables, tabular_step, value

from orl.evaluation.diagnosis.conformal import split_conformal_factor
from orl.evaluation.diagnosis.errors import judge
from orl.evaluation.diagnosis.penalty import assess, backup_error_bound
from orl.mdp.penalty import penalise
from orl.mdp.rollout import model_returns
from orl.mdp.step import make_step
from orl.types import Array, Transition

DISCOUNT, SHARE = 0.9, 0.95


def still(policy: None, key: Array | None, obs: Array) -> Array:
    """The closed loop is in the model."""
    return jnp.zeros((obs.shape[0], 1))


@pytest.mark.parametrize(("name", "reward_error"), [("max_pairwise", 0.0), ("ensemble_std", 0.3)])
def test_on_a_linear_system_the_calibrated_bound_is_tight(name: str, reward_error: float) -> None:
    """M4: s' = 0.5 s, r = s, V = s / (1 - 0.5 g), so L = 1 / (1 - 0.5 g). The elite says 0.8 s and (1 + b) s, and the
    members disagree in proportion to s: u and the error are proportional to |s|, so every share gives the same lambda.

    For s > 0 the model promises too much, and the penalised return is the true one exactly.
    """
    truth = 0.5
    ensemble, params = linear_ensemble((0.7, 0.8, 0.9), 1.0 + reward_error, elites=(1,))
    lipschitz = 1.0 / (1.0 - DISCOUNT * truth)
    s = jnp.linspace(-3.0, 3.0, 40)[:, None]
    log = Transition(s, jnp.zeros((40, 1)), s[:, 0], truth * s, jnp.zeros(40))
    judged = judge(ensemble, params, log, "raw")
    bound = backup_error_bound(judged.reward, judged.next_obs, lipschitz, DISCOUNT)
    coef = next(each for each in assess(judged, "raw", bound, SHARE) if each.uncertainty == name).penalty_coef
    np.testing.assert_allclose(coef * judged.uncertainty[name], bound, rtol=1e-5)
    if reward_error == 0.0:  # then it is g L, and the ratio of what it is to what the members say it is
        assert coef == pytest.approx(DISCOUNT * lipschitz * 0.3 / 0.2, rel=1e-5)

    start, bare = jnp.asarray([[1.0], [2.5]]), make_step(ensemble, "never", name, "raw")

    def promised(coef: float) -> np.ndarray:
        step = penalise(bare, coef)
        return np.asarray(model_returns(step, still, params, None, jax.random.key(0), start, 150, DISCOUNT))

    true = np.asarray(start)[:, 0] * lipschitz
    np.testing.assert_allclose(promised(coef), true, rtol=1e-4)
    assert np.all(promised(0.1 * coef) > 1.5 * true)


@pytest.mark.parametrize("seed", range(10))
def test_on_tables_the_calibrated_penalty_is_a_lower_bound(seed: int) -> None:
    """A model whose u knows the size of its errors only roughly and in a unit of its own.

    lambda is calibrated on rows (s, a) drawn as the logged policy visits them in the model, so that every pair that
    counts is there; V is that policy's own. The penalised return is below the true one, and mostly not with a tenth.
    """
    case = RoughCase(seed)
    assert case.penalised(case.coef) <= case.true + 1e-12
    assert case.penalised(0.0) > case.true  # nothing would need a penalty otherwise


def test_a_tenth_of_it_is_no_lower_bound() -> None:
    """In most of those cases."""
    cases = [RoughCase(seed) for seed in range(10)]
    assert sum(case.penalised(0.1 * case.coef) > case.true for case in cases) >= 8


class RoughCase:
    """A random MDP and a model that is too hopeful of a policy, with a u that is wrong in size and noisy."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        truth, reward = random_transition(rng, 5, 2), rng.uniform(-1, 1, (5, 2))
        self.policy, self.start = random_policy(rng, 5, 2), rng.dirichlet(np.ones(5))
        self.values = value(tables(truth, reward), self.policy, DISCOUNT)
        hope = np.exp(rng.uniform(0.2, 0.6, (5, 2, 1)) * (self.values - self.values.mean()))
        guess = truth * hope
        guess /= guess.sum(axis=-1, keepdims=True)
        expected = reward + rng.uniform(0.0, 0.05, (5, 2))
        gap = np.abs(reward - expected) + DISCOUNT * np.abs((guess - truth) @ self.values)
        u = 0.03 * gap * rng.uniform(0.5, 1.5, gap.shape)
        self.model = tables(guess, expected, u)
        self.true = float(self.start @ self.values)
        rho = occupancy(self.model, self.policy, DISCOUNT, self.start)
        rows = rng.choice(10, 400, p=(rho / rho.sum()).reshape(-1))
        self.coef = split_conformal_factor(u.reshape(-1)[rows], gap.reshape(-1)[rows], SHARE)

    def penalised(self, coef: float) -> float:
        """Return of the policy in the model as our `penalise` makes it."""
        mdp = read(penalise(tabular_step, coef), self.model, self.model)
        return float(self.start @ value(mdp, self.policy, DISCOUNT))
