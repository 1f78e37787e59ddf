"""The audit's statistics: by hand, or against an independent way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from clean_systems import double_integrator, falling_pole
from made_logs import make_dataset

from orl.data.audit import actions, continuity, delays, duplicates, endings, features, sample, values
from orl.data.audit.audit import CHECKS, audit, quantiles
from orl.data.audit.finding import listed, percent
from orl.data.audit.ridge import RIDGES, explained, fold_moments, heldout_errors, heldout_r2

RNG = np.random.default_rng(5)


def test_heldout_errors_are_those_of_fits_without_the_fold() -> None:
    x, fold = RNG.normal(size=(60, 4)), np.arange(60) % 3
    y = x[:, :2] @ [[1.0], [2.0]] + 0.1 * RNG.normal(size=(60, 1))
    columns = np.array([0, 2, 1])
    expected = {ridge: np.zeros(3) for ridge in RIDGES}
    for ridge in RIDGES:
        for f in range(3):
            train, test = x[fold != f][:, columns], x[fold == f][:, columns]
            # ridge regression is least squares with sqrt(penalty) I appended
            stacked = np.concatenate([train, np.sqrt(ridge * len(train)) * np.eye(3)])
            w = np.linalg.lstsq(stacked, np.concatenate([y[fold != f], np.zeros((3, 1))]), rcond=None)[0]
            expected[ridge][f] = ((test @ w - y[fold == f]) ** 2).sum()
    best = min(RIDGES, key=lambda ridge: expected[ridge].sum())
    moments = fold_moments(x, y, fold)
    np.testing.assert_allclose(heldout_errors(moments, columns)[:, 0], expected[best], rtol=1e-8)
    assert heldout_r2(moments, columns)[0] == pytest.approx(1 - expected[best].sum() / (y**2).sum())


def test_every_target_gets_its_own_ridge() -> None:
    x, fold = RNG.normal(size=(100, 30)), np.arange(100) % 5
    y = np.stack([x[:, 0], RNG.normal(size=100)], axis=1)
    together = heldout_r2(fold_moments(x, y, fold), np.arange(30))
    alone = [heldout_r2(fold_moments(x, y[:, i : i + 1], fold), np.arange(30))[0] for i in range(2)]
    np.testing.assert_allclose(together, alone)
    assert together[0] > 0.9999


def test_a_target_without_variance_is_explained_by_nothing() -> None:
    moments = fold_moments(np.ones((4, 1)), np.zeros((4, 1)), np.array([0, 0, 1, 1]))
    assert explained(np.zeros((2, 1)), moments).tolist() == [0.0]


def test_scaling_holds_far_values_and_drops_constant_columns() -> None:
    scaler = features.fit_scaler(np.array([[1.0, 7.0], [3.0, 7.0]]))
    assert scaler.apply(np.array([[1.0, 7.0], [2.0, 7.0], [30.0, 9.0]])).tolist() == [[-1, 0], [0, 0], [3, 0]]


def test_random_cosines_approach_the_gaussian_kernel() -> None:
    x = RNG.normal(size=(6, 3))
    cosines = features.random_fourier(x, 200_000)
    distance = ((x[:, None] - x) ** 2).sum(axis=2)
    np.testing.assert_allclose(cosines @ cosines.T / 200_000, np.exp(-distance / 6), atol=0.01)


def test_sampled_rows_have_a_past_and_no_episode_lies_in_two_folds() -> None:
    data = make_dataset((300, 40, 50, 2, 60, 70))
    found = sample.sample_rows(data, past=3)
    assert found is not None
    episode = data.episode_of_row[found.rows]
    assert np.unique(episode).tolist() == [0, 1, 2, 4, 5]  # two steps have no third before them
    assert (found.rows - data.starts[episode]).min() == 3
    assert len(np.unique(np.stack([episode, found.fold]), axis=1).T) == 5
    few = sample.sample_rows(data, max_rows=80)
    assert few is None  # a sample of fewer episodes than folds would mix them
    broken = data.obs.copy()
    broken[310] = np.inf
    episodes = sample.finite_episodes(dataclasses.replace(data, obs=broken))
    assert episodes.tolist() == [0, 2, 3, 4, 5]


def test_few_episodes_are_cut_in_time() -> None:
    found = sample.sample_rows(make_dataset((400,)))
    assert found is not None
    assert np.flatnonzero(np.diff(found.fold)).tolist() == [79, 159, 239, 319]
    assert sample.sample_rows(make_dataset((150,))) is None


def test_indices_of_added_blocks() -> None:
    assert [block.tolist() for block in delays.added(2, [1, 2])] == [[0, 1, 2], [0, 1, 3, 4]]


def test_outliers_are_held() -> None:
    change = np.append(np.linspace(-1, 1, 999), 1e6)[:, None]
    held = delays.held_in(change)
    assert held.mean() == pytest.approx(0, abs=1e-12)
    assert held.max() < 2


def test_past_effects_of_a_delay() -> None:
    """speed' = 0.95 speed + 0.3 a_{t-2} + 0.01 noise: in place of a_t, a_{t-2} gives all but the noise."""
    data = double_integrator(episodes=60, delay=2)
    effects = delays.past_effects(data)
    assert effects is not None
    change = (data.next_obs - data.obs)[:, 1]
    assert effects.instead[2, 1] == pytest.approx(1 - 0.01**2 / change.var(), abs=0.01)
    assert effects.instead[0, 1] < 0.5
    assert effects.lag_helps[1, 1]
    assert effects.now[0] > 0.995  # the position follows the speed


def test_correlated_columns() -> None:
    x = RNG.normal(size=(50, 1)).astype(np.float32)
    columns = np.concatenate([x, 2 * x + 1, x, x**2, np.ones_like(x)], axis=1)
    assert values.column_pairs(columns) == [(0, 1, False), (0, 2, True), (1, 2, False)]
    assert values.is_constant(columns).tolist() == [False] * 4 + [True]
    assert values.is_constant(np.full((9, 1), 0.1, np.float32)).tolist() == [True]


def test_ordinary_errors_have_a_floor() -> None:
    errors = np.array([[1.0, 0.0]] * 100)
    delta = np.array([[2.0, 2.0]] * 100)
    assert continuity.ordinary_errors(errors, delta).tolist() == [1.0, continuity.FLOOR * 2]


def test_roc_areas() -> None:
    assert endings.roc_area(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert endings.roc_area(np.array([1.0, 2, 3, 2]), np.array([False, False, True, True])) == 0.875


def test_time_limits() -> None:
    assert endings.time_limit(make_dataset((3, 2), max_episode_steps=9)) == 9
    assert endings.time_limit(make_dataset((5, 5, 2, 5))) == 5
    assert endings.time_limit(make_dataset((5, 5, 2))) is None


def test_ends_that_look_like_no_other_state() -> None:
    data = falling_pole()
    column, separation = endings.ends_apart(data, data.terminated[continuity.last_rows(data)])
    assert separation < 0.95  # it falls to either side
    tilt = dataclasses.replace(data, next_obs=np.abs(data.next_obs))
    assert endings.ends_apart(tilt, data.terminated[continuity.last_rows(data)])[1] > 0.99
    assert endings.ends_apart(data, np.arange(data.n_episodes) < 3) == (0, 0.5)
    assert 0 <= column < 3


def test_shares_at_the_bounds() -> None:
    data = make_dataset((4, 1), action=np.array([[-1], [-0.9995], [0.99], [1], [1.2]], np.float32))
    np.testing.assert_allclose(actions.bound_shares(data), [[0.4, 0.4]])
    np.testing.assert_allclose(
        actions.relative_excess(data.action[:, 0], -1, 1), [0, -0.00025, -0.005, 0, 0.1], atol=1e-6
    )
    endless = dataclasses.replace(data, action_high=np.array([np.inf], np.float32))
    assert actions.bound_shares(endless).tolist() == [[0, 0]]


def test_copies_need_the_same_order() -> None:
    data = double_integrator(episodes=6)
    shuffled = np.random.default_rng(0).permutation(60)

    def with_episode_5(rows: np.ndarray) -> np.ndarray:
        obs, action = data.obs.copy(), data.action.copy()
        obs[300 : 300 + len(rows)], action[300 : 300 + len(rows)] = data.obs[rows], data.action[rows]
        return duplicates.near_copies(dataclasses.replace(data, obs=obs, action=action))

    assert with_episode_5(60 + np.arange(60)).tolist() == [[5, 1]]
    assert with_episode_5(80 + np.arange(40)).tolist() == [[5, 1]]  # a part of it, later in time
    assert with_episode_5(60 + np.arange(25)).tolist() == []
    assert with_episode_5(60 + shuffled).tolist() == []


def test_rest_is_no_copy() -> None:
    data = make_dataset((30, 30, 30), obs=np.zeros((90, 2), np.float32), action=np.zeros((90, 1), np.float32))
    assert duplicates.near_copies(data).tolist() == []


def test_words() -> None:
    assert [percent(share) for share in (0.0, 0.0001, 0.1234, 1.0)] == ["0%", "<0.1%", "12.3%", "100%"]
    assert listed([1, 2]) == "1, 2"
    assert listed(np.arange(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert quantiles(np.array([1.0, 2, 3, np.nan])) == {"0%": 1, "10%": 1.2, "50%": 2, "90%": 2.8, "100%": 3}
    assert set(quantiles(np.array([np.nan])).values()) == {None}


@pytest.mark.parametrize("lengths", [(1,), (1, 1, 1), (3, 2), (40, 1, 40), (1,) * 300])
def test_tiny_logs_are_audited_without_a_fault(lengths: tuple[int, ...]) -> None:
    assert audit(make_dataset(lengths)).counts["error"] == 0


def test_a_log_of_nothing_but_nan_is_audited() -> None:
    nothing = np.full((300, 2), np.nan, np.float32)
    found = audit(make_dataset((100, 100, 100), obs=nothing, next_obs=nothing, reward=nothing[:, 0]))
    assert {finding.check for finding in found.findings if finding.severity == "error"} == {"non-finite"}
    assert found.overview["returns"]["50%"] is None
    assert found.overview["finite_episodes"] == 0


def test_the_gravest_come_first() -> None:
    data = double_integrator()
    odd = dataclasses.replace(data, action=np.clip(9 * data.action, -1.5, 1), reward=np.zeros_like(data.reward))
    severities = [finding.severity for finding in audit(odd).findings]
    assert severities[0] == "error"
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert len(CHECKS) == 14
