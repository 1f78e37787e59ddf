"""Fitted Q evaluation: its fixed point on tables, what it learns from, and how it is compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular_logs import exact_q, exact_value, random_mdp, sample_log, table_act

from orl.evaluation.ope import fqe
from orl.evaluation.ope.fqe import (
    FqeConfig,
    bellman_target,
    draw_rows,
    fit_fqe,
    fit_q,
    q_values,
    return_units,
    steady_value,
    value_range,
    values,
)
from orl.evaluation.ope.fqe_diagnosis import diagnose
from orl.evaluation.ope.types import LoggedEpisodes
from orl.types import Transition

pytestmark = pytest.mark.usefixtures("quick_compiles")
DISCOUNT, S, A = 0.9, 4, 2
LINEAR = FqeConfig(hidden=(), updates=1500, learning_rate=0.03, polyak=0.1)
WIDE = FqeConfig(hidden=(64,), updates=2500, learning_rate=3e-3, polyak=0.1)
PAIRS = jnp.repeat(jnp.eye(S), A, axis=0), jnp.eye(S * A)
POLICY = np.asarray([[1.0, 0], [0, 1], [0, 1], [1, 0]])


@pytest.fixture(scope="module")
def log() -> LoggedEpisodes:
    """A uniform behaviour's 800 episodes, ended or cut after 20 steps, of an MDP without noise in its rewards."""
    return sample_log(random_mdp(0, noise=0.0), np.full((S, A), 0.5), 800, 20, 1)[0]


def once(episodes: LoggedEpisodes, members: int = 1) -> np.ndarray:
    """Every row once for every member."""
    return np.ones((members, len(episodes.reward)), np.int64)


@pytest.mark.parametrize("config", [LINEAR, WIDE])
def test_its_fixed_point_is_the_exact_q(log: LoggedEpisodes, config: FqeConfig) -> None:
    """Within 4% of the spread of values of the linear solve, members alike; the behaviour's own Q is far away."""
    fit = fit_fqe(config, table_act, jnp.asarray(POLICY), log, once(log, 2), DISCOUNT, jax.random.key(0))
    exact = exact_q(random_mdp(0), POLICY, DISCOUNT)
    found = np.asarray(q_values(fit, *PAIRS))
    np.testing.assert_allclose(found, np.tile(exact.ravel(), (2, 1)), atol=0.06)
    assert np.abs(exact_q(random_mdp(0), np.full((S, A), 0.5), DISCOUNT) - exact).max() > 0.3
    own = np.asarray(values(fit, table_act, jnp.asarray(POLICY), jnp.eye(S)))
    np.testing.assert_allclose(own, found.reshape(2, S, A)[:, np.arange(S), POLICY.argmax(axis=1)], rtol=1e-5)


def test_ends_and_cuts_are_not_the_same() -> None:
    """A pair that ends half of the time is worth what the solve says, though each episode is cut after three steps."""
    mdp = random_mdp(3, ends=0.5, noise=0.0)
    episodes, _ = sample_log(mdp, np.full((S, A), 0.5), 2000, 3, 2)
    assert 0.1 < episodes.cut.mean() < 0.9
    fit = fit_fqe(LINEAR, table_act, jnp.asarray(POLICY), episodes, once(episodes), DISCOUNT, jax.random.key(1))
    exact = exact_q(mdp, POLICY, DISCOUNT).ravel()
    np.testing.assert_allclose(q_values(fit, *PAIRS)[0], exact, atol=0.08)
    without_ends = exact_q(mdp._replace(ends=np.zeros((S, A))), POLICY, DISCOUNT).ravel()
    assert np.abs(without_ends - exact).max() > 0.3


def test_the_behaviours_own_q_by_its_logged_actions(log: LoggedEpisodes) -> None:
    """`fit_q` with the action logged next; rows behind which none is logged are left out."""
    rows = log.rows
    following = np.append(np.arange(1, len(log.reward)), 0)
    multiplicity = once(log)
    multiplicity[:, log.last[log.cut]] = 0
    fit = fit_q(LINEAR, jnp.asarray(rows.action)[following], log, multiplicity, DISCOUNT, jax.random.key(0))
    exact = exact_q(random_mdp(0), np.full((S, A), 0.5), DISCOUNT).ravel()
    np.testing.assert_allclose(q_values(fit, *PAIRS)[0], exact, atol=0.08)


def test_a_member_learns_from_its_own_rows_only(log: LoggedEpisodes) -> None:
    """A member without the second half agrees with a fit to a log that says 100 there, and not with one of all rows."""
    half = len(log.reward) // 2
    multiplicity = once(log, 2)
    multiplicity[0, half:] = 0
    reward = np.asarray(log.reward, np.float32)
    reward[half:] = 5.0
    spoilt = LoggedEpisodes(log.rows._replace(reward=jnp.asarray(reward)), log.starts, log.cut)
    fit = fit_fqe(LINEAR, table_act, jnp.asarray(POLICY), spoilt, multiplicity, DISCOUNT, jax.random.key(0))
    exact = exact_q(random_mdp(0), POLICY, DISCOUNT).ravel()
    found = np.asarray(q_values(fit, *PAIRS))
    np.testing.assert_allclose(found[0], exact, atol=0.25)  # a coarser unit, for the spread of returns is larger
    assert np.all(found[1] - exact > 5.0)


def test_draws_are_as_frequent_as_multiplicities() -> None:
    """Rows with 0, 1, 3 and 0 seats: none, a quarter, three quarters, none; a second member by its own counts."""
    multiplicity = np.asarray([[0, 1, 3, 0], [2, 0, 0, 2]])
    drawn = np.asarray(draw_rows(jax.random.key(0), jnp.asarray(multiplicity.cumsum(axis=1)), 20_000))
    found = np.stack([np.bincount(x, minlength=4) for x in drawn]) / 20_000
    np.testing.assert_allclose(found, multiplicity / 4, atol=0.015)
    assert found[0, 0] == found[0, 3] == found[1, 1] == found[1, 2] == 0


def test_range_of_values_by_hand() -> None:
    """Rewards 1 to 3 at 0.5: 2 to 6 for ever, 1 to 6 if the next step may be the last; negative ones mirror it."""
    assert value_range(np.asarray([1.0, 3.0]), np.asarray([0, 0]), 0.5) == (2.0, 6.0)
    assert value_range(np.asarray([1.0, 3.0]), np.asarray([0, 1]), 0.5) == (1.0, 6.0)
    assert value_range(np.asarray([-3.0, -1.0]), np.asarray([0, 1]), 0.5) == (-6.0, -1.0)


def test_targets_by_hand() -> None:
    """2 + 0.5 * 4; nothing behind an end; 9 and -9 are clipped to 6 and -1."""
    y = bellman_target(jnp.full(4, 2.0), jnp.asarray([0.0, 1, 0, 0]), jnp.asarray([4.0, 4, 9, -9]), -1.0, 6.0, 0.5)  # type: ignore[arg-type]
    np.testing.assert_allclose(y, [4.0, 2.0, 5.0, 1.5])


def test_an_impossible_value_is_clipped_and_called_diverged(log: LoggedEpisodes) -> None:
    """A fit whose units are blown up ten thousandfold answers with a bound and is seen through; before, it is not."""
    policy = jnp.asarray(POLICY)
    fit = fit_fqe(LINEAR, table_act, policy, log, once(log), DISCOUNT, jax.random.key(0))
    assert not diagnose(fit, table_act, policy, log.rows, once(log), DISCOUNT).diverged
    blown = fqe.FqeParams(
        fit.net, fit.obs, fit.returns._replace(std=1e4 * fit.returns.std), fit.low, fit.high, fit.config
    )
    found = np.asarray(q_values(blown, *PAIRS))
    assert set(np.unique(found)) <= {np.float32(fit.low), np.float32(fit.high)}
    assert diagnose(blown, table_act, policy, log.rows, once(log), DISCOUNT).diverged
    lost = fqe.FqeParams(fit.net, fit.obs, fit.returns._replace(mean=jnp.nan), fit.low, fit.high, fit.config)
    assert diagnose(lost, table_act, policy, log.rows, once(log), DISCOUNT).diverged


def test_bellman_errors_are_of_rows_not_learnt_from(log: LoggedEpisodes) -> None:
    """A zero network says the mean return everywhere: its errors on unseen rows, in NumPy; NaN where it saw all."""
    policy = jnp.asarray(POLICY)
    fit = fit_fqe(FqeConfig(hidden=(), updates=1), table_act, policy, log, once(log), DISCOUNT, jax.random.key(0))
    zero = fqe.FqeParams(
        jax.tree.map(lambda x: jnp.zeros((2, *x.shape[1:])), fit.net),
        fit.obs,
        fit.returns,
        fit.low,
        fit.high,
        fit.config,
    )
    multiplicity = once(log, 2)
    multiplicity[0, ::3] = 0
    found = diagnose(zero, table_act, policy, log.rows, multiplicity, DISCOUNT)
    ends = np.asarray(log.rows.terminated)
    mean = log.returns_to_go(DISCOUNT, log.reward.mean() / (1 - DISCOUNT * (1 - ends.mean()))).mean()
    error = (log.reward + DISCOUNT * (1 - ends) * mean - mean)[::3]
    assert found.bellman_bias[0] == pytest.approx(error.mean(), rel=1e-4)
    assert found.bellman_rms[0] == pytest.approx(np.sqrt((error**2).mean()) / float(fit.returns.std), rel=1e-4)
    assert np.isnan(found.bellman_rms[1])


def test_units_are_those_of_the_logged_returns(log: LoggedEpisodes) -> None:
    """Rewards in other units give the same fit in other units; constant rewards do not divide by nothing."""
    policy, config = jnp.asarray(POLICY), FqeConfig(hidden=(8,), updates=300)
    scaled = LoggedEpisodes(log.rows._replace(reward=1e4 * jnp.asarray(log.rows.reward)), log.starts, log.cut)
    first, second = (
        np.asarray(q_values(fit_fqe(config, table_act, policy, x, once(x), DISCOUNT, jax.random.key(0)), *PAIRS))
        for x in (log, scaled)
    )
    np.testing.assert_allclose(second, 1e4 * first, rtol=0.02, atol=50.0)
    same = LoggedEpisodes(log.rows._replace(reward=jnp.zeros_like(log.rows.reward)), log.starts, log.cut)
    assert float(return_units(same, DISCOUNT).std) == pytest.approx(1e-6)


def test_cut_returns_are_completed_for_the_networks_start() -> None:
    """Rewards 1 at 0.9: endless 10; with an end at every third step 1 / (1 - 0.9 * 2 / 3). Rewards 0, 3 cut twice:
    steady 15, so returns-to-go (0 + 2.7 + 0.81 * 15, 3 + 13.5) = (14.85, 16.5) each time."""
    assert steady_value(np.ones(6), np.zeros(6), 0.9) == pytest.approx(10.0)
    assert steady_value(np.ones(6), np.array([0, 0, 1, 0, 0, 1]), 0.9) == pytest.approx(2.5)
    flat = np.zeros((4, 1), np.float32)
    rows = Transition(flat, flat, np.array([0, 3, 0, 3], np.float32), flat, np.zeros(4, np.float32))
    units = return_units(LoggedEpisodes(rows, np.array([0, 2]), np.ones(2, bool)), 0.9)
    assert float(units.mean) == pytest.approx((14.85 + 16.5) / 2)
    assert float(units.std) == pytest.approx(1.5)  # of the rewards: the returns' 0.825 is less


def test_candidates_share_one_program(log: LoggedEpisodes) -> None:
    """Another policy, discount, key and bootstrap of the same log compile nothing anew."""
    config = FqeConfig(hidden=(4,), updates=2)
    rng = np.random.default_rng(0)

    def fit(seed: int) -> None:
        policy = jnp.asarray(np.eye(A)[rng.integers(0, A, S)])
        multiplicity = rng.integers(0, 3, (2, len(log.reward)))
        fit_fqe(config, table_act, policy, log, multiplicity, 0.8 + 0.05 * seed, jax.random.key(seed))

    fit(0)
    before = fqe._program()._cache_size()  # type: ignore[attr-defined]
    fit(1)
    fit(2)
    assert fqe._program()._cache_size() == before  # type: ignore[attr-defined]


def test_the_value_of_a_policy_from_the_start(log: LoggedEpisodes) -> None:
    """Averaged over logged first observations it is the start distribution's, within the sampling of 800 of them."""
    fit = fit_fqe(LINEAR, table_act, jnp.asarray(POLICY), log, once(log), DISCOUNT, jax.random.key(0))
    first = jnp.asarray(log.rows.obs)[log.starts]
    found = float(values(fit, table_act, jnp.asarray(POLICY), first).mean())
    assert found == pytest.approx(exact_value(random_mdp(0), POLICY, DISCOUNT), abs=0.06)
