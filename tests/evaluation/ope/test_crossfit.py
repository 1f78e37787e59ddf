"""Folds, bootstraps outside of them, and who is asked about which episode."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular_logs import exact_q, random_mdp, sample_log, table_act

from orl.errors import DataError
from orl.evaluation.ope.crossfit import (
    assign_folds,
    bootstrap_outside,
    by_those_outside,
    crossfit_fqe,
    diagnose_crossfit,
)
from orl.evaluation.ope.fqe import FqeConfig, q_values

pytestmark = pytest.mark.usefixtures("quick_compiles")
DISCOUNT, S, A = 0.9, 4, 2


def test_folds_are_even_and_drawn() -> None:
    fold = assign_folds(18, 4)
    np.testing.assert_array_equal(np.sort(np.bincount(fold)), [4, 4, 5, 5])
    np.testing.assert_array_equal(fold, assign_folds(18, 4))
    assert np.any(fold != assign_folds(18, 4, seed=1))
    assert np.any(np.diff(fold) < 0)
    with pytest.raises(DataError, match=r"1 episode\(s\) are too few for 2 folds"):
        assign_folds(1, 2)


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_a_bootstrap_avoids_its_fold(folds: int) -> None:
    """As many draws as episodes outside of fold k, none inside; with one fold, from all. Members differ."""
    fold = assign_folds(12, folds)
    counts = bootstrap_outside(fold, 5)
    assert counts.shape == (5 * folds, 12)
    for member in range(5 * folds):
        inside = fold == member % folds if folds > 1 else np.zeros(12, bool)
        assert counts[member, inside].sum() == 0
        assert counts[member].sum() == 12 - inside.sum()
    assert len(np.unique(counts, axis=0)) == 5 * folds


def test_columns_are_answered_by_those_outside() -> None:
    """Two members a fold, values that name member and column: column of fold k by members k and 2 + k."""
    values = 10.0 * np.arange(4)[:, None] + np.arange(3)
    np.testing.assert_array_equal(by_those_outside(values, np.asarray([1, 0, 1])), [[10, 1, 12], [30, 21, 32]])
    np.testing.assert_array_equal(by_those_outside(values, np.zeros(3, np.int64)), values)


def test_a_cross_fit_asks_nobody_about_what_they_learnt() -> None:
    """Shapes, and every answer against the member that the numbering says; members do not know their own fold."""
    episodes, _ = sample_log(random_mdp(0), np.full((S, A), 0.5), 30, 8, 1)
    policy = jnp.asarray(np.eye(A)[[0, 1, 1, 0]])
    config = FqeConfig(hidden=(), members=2, updates=50)
    fit = crossfit_fqe(config, table_act, policy, episodes, DISCOUNT, jax.random.key(0), folds=3)
    rows, n = episodes.rows, len(episodes.reward)
    assert fit.q.shape == fit.v.shape == (2, n)
    assert fit.initial.shape == fit.final.shape == (2, 30)
    everything = np.asarray(q_values(fit.params, rows.obs, rows.action))
    after = jnp.asarray(rows.next_obs)
    own = np.asarray(q_values(fit.params, after, table_act(policy, None, after)))
    for r, row in ((0, 0), (1, n - 1), (1, n // 2)):
        episode = episodes.of_row[row]
        member = r * 3 + fit.fold[episode]
        assert fit.q[r, row] == pytest.approx(everything[member, row])
        assert fit.multiplicity[member, row] == 0
        assert fit.final[r, episode] == pytest.approx(own[member, episodes.last[episode]])
    np.testing.assert_array_equal(fit.initial, fit.v[:, episodes.starts])
    found = diagnose_crossfit(fit, table_act, policy, episodes, DISCOUNT)
    assert found.bellman_rms.shape == (6,)
    assert np.all(np.isfinite(found.bellman_rms))


def test_a_cross_fit_finds_the_exact_values() -> None:
    """600 episodes in two folds: Q of the logged pairs within a tenth of a solve, by every member."""
    mdp, policy = random_mdp(1, noise=0.1), np.eye(A)[[1, 1, 0, 0]]
    episodes, tables = sample_log(mdp, np.full((S, A), 0.5), 600, 20, 1)
    config = FqeConfig(hidden=(), members=2, updates=1500, learning_rate=0.03, polyak=0.1)
    fit = crossfit_fqe(config, table_act, jnp.asarray(policy), episodes, DISCOUNT, jax.random.key(0))
    exact = exact_q(mdp, policy, DISCOUNT)
    error = fit.q - exact[tables.state, tables.action]
    assert np.abs(error).max() < 0.3
    assert np.abs(error.mean()) < 0.1
    own = exact[np.arange(S), policy.argmax(axis=1)]
    assert np.abs(fit.v.mean(axis=0) - own[tables.state]).max() < 0.25
    assert np.abs(fit.final - own[tables.after[episodes.last]]).max() < 0.3
