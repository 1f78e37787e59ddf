"""MOPO's theorems (arXiv:2005.13239) on tabular MDPs whose penalised rewards are read out of our `penalise`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular_mdp import (
    Tables,
    deterministic_policies,
    occupancy,
    one_hot,
    random_policy,
    random_transition,
    read,
    tables,
    tabular_act,
    tabular_step,
    value,
)

from orl.mdp.penalty import penalise
from orl.mdp.rollout import model_returns
from orl.types import Array, Step

DISCOUNT = 0.9
LAMBDA = DISCOUNT / (1 - DISCOUNT)  # gamma c with c = r_max / (1 - gamma), for u = ||T - T_hat||_1 and r_max = 1
S, A = 4, 2


class Case:
    """A random MDP, a learned model of it whose uncertainty is exactly ||T - T_hat||_1, and policies to judge."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        truth, contamination = random_transition(rng, S, A), rng.uniform(0, 0.6, (S, A, 1))
        guess = (1 - contamination) * truth + contamination * random_transition(rng, S, A)
        self.start, reward = rng.dirichlet(np.ones(S)), rng.uniform(-1, 1, (S, A))
        self.truth = tables(truth, reward)
        self.model = tables(guess, reward, np.abs(truth - guess).sum(axis=-1))
        self.policies = deterministic_policies(S, A) + [random_policy(rng, S, A) for _ in range(5)]

    def penalised(self, coef: float) -> Tables:
        """The uncertainty-penalised MDP as our code makes it."""
        return read(penalise(tabular_step, coef), self.model, self.model)

    def returns(self, mdp: Tables) -> np.ndarray:
        """eta(pi) of every policy."""
        return np.asarray([self.start @ value(mdp, policy, DISCOUNT) for policy in self.policies])

    def errors(self) -> np.ndarray:
        """eps_u(pi) = sum rho_hat u of every policy."""
        rho = [occupancy(self.model, policy, DISCOUNT, self.start) for policy in self.policies]
        return np.asarray([np.sum(r * self.model.uncertainty) for r in rho])


@pytest.mark.parametrize("seed", range(20))
def test_telescoping(seed: int) -> None:
    """M1: eta_hat - eta = gamma sum rho_hat (E_T_hat - E_T)[V of the TRUE mdp]; with V of the model it fails."""
    case = Case(seed)
    gap = case.returns(case.model) - case.returns(case.truth)
    shift = case.model.transition - case.truth.transition
    rho = [occupancy(case.model, policy, DISCOUNT, case.start) for policy in case.policies]
    for mdp, holds in ((case.truth, True), (case.model, False)):
        values = [value(mdp, policy, DISCOUNT) for policy in case.policies]
        right = [DISCOUNT * np.sum(r * (shift @ v)) for r, v in zip(rho, values, strict=True)]
        assert (np.abs(gap - right).max() < 1e-12) == holds


@pytest.mark.parametrize("seed", range(20))
def test_the_penalised_return_is_eta_hat_less_lambda_eps(seed: int) -> None:
    """M2, equality: our penalised MDP returns eta_hat - lambda eps_u; M7: u is of (s, a), not of s'."""
    case = Case(seed)
    expected = case.returns(case.model) - LAMBDA * case.errors()
    np.testing.assert_allclose(case.returns(case.penalised(LAMBDA)), expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_the_penalised_return_is_a_lower_bound(seed: int) -> None:
    """M2: eta >= eta_tilde for every policy."""
    case = Case(seed)
    assert np.all(case.returns(case.penalised(LAMBDA)) <= case.returns(case.truth) + 1e-12)


def test_the_bare_model_is_no_lower_bound() -> None:
    """M2 as a contrast: without the penalty nearly every one of these MDPs has a policy that is overestimated."""
    cases = [Case(seed) for seed in range(20)]
    assert sum(np.any(case.returns(case.penalised(0.0)) > case.returns(case.truth) + 0.01) for case in cases) >= 15


def optimist() -> tuple[Tables, Tables]:
    """s0 leads to 'bad' (-1 for ever) in truth and to 'good' (+1) in the model: here the bound is tight."""
    truth = np.eye(3)[[[1], [1], [2]]]
    guess = np.eye(3)[[[2], [1], [2]]]
    reward = np.asarray([[0.0], [-1.0], [1.0]])
    return tables(truth, reward), tables(guess, reward, np.abs(truth - guess).sum(axis=-1))


def test_the_bound_is_tight_and_a_factor_of_two_breaks_it() -> None:
    """M2: u is ||T - T_hat||_1 = 2, the penalised return exactly -gamma / (1 - gamma); with TV, u = 1, it is 0.

    M7: so does lambda without its 1 / (1 - gamma), and the other sign.
    """
    truth, model = optimist()
    policy = np.ones((3, 1))
    true = value(truth, policy, DISCOUNT)[0]
    assert true == pytest.approx(-LAMBDA)

    def penalised(coef: float, mdp: Tables = model) -> float:
        return float(value(read(penalise(tabular_step, coef), mdp, mdp), policy, DISCOUNT)[0])

    assert penalised(LAMBDA) == pytest.approx(true, abs=1e-12)
    variation = model._replace(uncertainty=model.uncertainty / 2)
    assert penalised(LAMBDA, variation) == pytest.approx(0.0, abs=1e-12)
    assert penalised(DISCOUNT) > true + 1
    assert penalised(-LAMBDA) > true + 1


@pytest.mark.parametrize("seed", range(20))
def test_the_best_penalised_policy_loses_at_most_twice_the_error(seed: int) -> None:
    """M3: eta(pi_hat) >= max_pi eta(pi) - 2 lambda eps_u(pi) by enumeration, and on a grid of delta."""
    case = Case(seed)
    true, errors = case.returns(case.truth), case.errors()
    chosen = true[np.argmax(case.returns(case.penalised(LAMBDA)))]
    assert chosen >= np.max(true - 2 * LAMBDA * errors) - 1e-12
    for delta in np.linspace(errors.min(), errors.max(), 5):
        assert chosen >= np.max(true[errors <= delta]) - 2 * LAMBDA * delta - 1e-12


def test_a_penalty_is_needed_for_that() -> None:
    """M3 as a contrast: the optimist's model without the penalty picks a policy that is worse than the bound allows."""
    truth, model = (
        Tables(
            np.stack([mdp.transition[:, 0], np.eye(3)[[0, 1, 2]]], axis=1),  # the second action stays in s0
            np.concatenate([mdp.reward, mdp.reward], axis=1),
            np.concatenate([mdp.uncertainty, np.zeros((3, 1))], axis=1),
            np.zeros((3, 2)),
        )
        for mdp in optimist()
    )
    policies = deterministic_policies(3, 2)
    true = np.asarray([value(truth, policy, DISCOUNT)[0] for policy in policies])

    def chosen(coef: float) -> float:
        mdp = read(penalise(tabular_step, coef), model, model)
        return true[np.argmax([value(mdp, policy, DISCOUNT)[0] for policy in policies])]

    assert chosen(LAMBDA) == pytest.approx(0.0)  # stays: the bound with eps_u = 0
    assert chosen(0.0) == pytest.approx(-LAMBDA)


def line_step(params: Array, key: Array, obs: Array, action: Array) -> Step:
    """s' = rho_hat s with reward -|s|; the uncertainty is the W1 distance to rho s, |rho_hat - rho| |s|."""
    guess, truth = params
    size = jnp.abs(obs[:, 0])
    return Step(guess * obs, -size, jnp.zeros(obs.shape[0], bool), jnp.abs(guess - truth) * size)


def still(policy: None, key: Array | None, obs: Array) -> Array:
    """The closed loop is in the model."""
    return jnp.zeros((obs.shape[0], 1))


@pytest.mark.parametrize(
    ("truth", "guess", "tight"), [(0.8, 0.5, True), (-0.9, -0.2, True), (0.5, 0.8, False), (0.7, -0.4, False)]
)
def test_the_lipschitz_bound_in_closed_form(truth: float, guess: float, tight: bool) -> None:
    """M4: rolled out through our engine, the penalised return is below -|s| / (1 - gamma |rho|), and equal to it where
    rho and rho_hat have one sign and |rho| >= |rho_hat|. lambda = gamma c with c = 1 / (1 - gamma |rho|)."""
    coef = DISCOUNT / (1 - DISCOUNT * abs(truth))
    start = jnp.asarray([[1.0], [-2.5]])
    step, params = penalise(line_step, coef), jnp.asarray([guess, truth])
    penalised = np.asarray(
        jax.jit(lambda s: model_returns(step, still, params, None, jax.random.key(0), s, 300, DISCOUNT))(start)
    )
    size = np.abs(np.asarray(start)[:, 0])
    closed = -size * (1 + coef * abs(guess - truth)) / (1 - DISCOUNT * abs(guess))
    np.testing.assert_allclose(penalised, closed, rtol=1e-10)
    true = -size / (1 - DISCOUNT * abs(truth))
    if tight:
        np.testing.assert_allclose(penalised, true, rtol=1e-10)
    else:
        assert np.all(penalised < true - 0.1)


@pytest.mark.parametrize("seed", range(10))
def test_more_penalty_means_less_return_and_less_error(seed: int) -> None:
    """M6: along a grid of lambda the best penalised return falls, and the best policy's eps_u does not grow."""
    case = Case(seed)
    errors, best, chosen = case.errors(), [], []
    for coef in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0):
        returns = case.returns(case.penalised(coef))
        best.append(returns.max())
        chosen.append(errors[np.argmax(returns)])
    assert np.all(np.diff(best) < 0)
    assert np.all(np.diff(chosen) <= 1e-12)
    assert chosen[-1] == pytest.approx(errors.min())


def test_rollouts_measure_the_penalised_return() -> None:
    """M1, M2 through the rollout engine: 4000 rollouts agree with the linear solves within 4 standard errors."""
    case = Case(3)
    policy = case.policies[-1]
    rng = np.random.default_rng(0)
    start = one_hot(rng.choice(S, size=4000, p=case.start), S)

    def measure(coef: float) -> np.ndarray:
        step = penalise(tabular_step, coef)
        run = jax.jit(
            lambda s: model_returns(step, tabular_act, case.model, policy, jax.random.key(5), s, 120, DISCOUNT)
        )
        return np.asarray(run(start))

    bare, penalised = measure(0.0), measure(LAMBDA)
    for sample, exact in (
        (bare, case.returns(case.model)[-1]),
        (penalised, case.returns(case.penalised(LAMBDA))[-1]),
        ((bare - penalised) / LAMBDA, case.errors()[-1]),
    ):
        assert abs(sample.mean() - exact) < 4 * sample.std() / np.sqrt(4000)
        assert sample.std() / np.sqrt(4000) < 0.05 * abs(exact) + 0.05
