"""Fitting: what a linear ensemble must recover, the bootstrap, early stopping and snapshots."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.normalise import fit_normaliser, identity_normaliser
from orl.dynamics import fit
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import (
    FitData,
    FitState,
    bootstrap_rows,
    finish_fit,
    fit_data,
    holdout_errors,
    improved,
    init_fit,
    make_epoch,
    targets_of,
)
from orl.types import Transition

ROOT = jax.random.key(7)


def linear_config(members: int = 3, **settings: object) -> EnsembleConfig:
    """Linear members without weight decay: the maximum likelihood fit is ordinary least squares."""
    defaults = {"elites": 1, "hidden": (), "weight_decay": (0.0,), "learning_rate": 0.02, "termination_hidden": (8,)}
    return EnsembleConfig(members=members, **(defaults | settings))  # type: ignore[arg-type]


def fresh(config: EnsembleConfig, rows: Transition, learned: bool = False) -> tuple[Ensemble, EnsembleParams]:
    """An unfitted ensemble with inputs (and, if asked for, targets) standardised by the rows."""
    ensemble = Ensemble(config, rows.obs.shape[1], rows.action.shape[1], learned)
    inputs = fit_normaliser(np.concatenate([rows.obs, rows.action], axis=-1))
    outputs = fit_normaliser(np.concatenate([rows.next_obs, rows.reward[:, None]], axis=-1))
    targets = fit_normaliser(np.asarray(targets_of(rows))) if config.standardise_targets else None
    targets = targets or identity_normaliser(ensemble.out_dim)
    return ensemble, ensemble.init(jax.random.key(0), inputs, targets, outputs)


@functools.cache
def runner(ensemble: Ensemble, epochs: int) -> Callable[[FitState, FitData, FitData], FitState]:
    """`epochs` passes in one program."""
    epoch = make_epoch(ensemble)

    def passes(state: FitState, data: FitData, held_out: FitData) -> FitState:
        return jax.lax.scan(lambda s, _: (epoch(s, ROOT, data, held_out)[0], None), state, None, length=epochs)[0]

    return jax.jit(passes)


def run(ensemble: Ensemble, params: EnsembleParams, train: Transition, holdout: Transition, epochs: int) -> FitState:
    """The state after `epochs` passes over `train`."""
    return runner(ensemble, epochs)(init_fit(ensemble, params), fit_data(params, train), fit_data(params, holdout))


def linear_log(seed: int, n: int, matrix: np.ndarray, sigma: np.ndarray) -> Transition:
    """y = matrix [obs, action] + sigma * noise for y = [next_obs - obs, reward]; one action dimension."""
    rng = np.random.default_rng(seed)
    obs, action = rng.normal(size=(n, len(matrix) - 1)), rng.normal(size=(n, 1))
    y = np.concatenate([obs, action], axis=-1) @ matrix.T + sigma * rng.normal(size=(n, len(sigma)))
    rows = Transition(obs, action, y[:, -1], obs + y[:, :-1], np.zeros(n))
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), rows)


MATRIX = np.asarray([[0.5, -1.0, 0.8], [0.3, 0.7, -0.4], [1.2, 0.1, -0.9]])
SIGMA = np.asarray([0.1, 0.3, 0.9])


@pytest.fixture(scope="module")
def linear_fit() -> tuple[Ensemble, EnsembleParams]:
    """A linear ensemble fitted to a linear log with noise of three sizes."""
    train, holdout = linear_log(0, 4000, MATRIX, SIGMA), linear_log(1, 500, MATRIX, SIGMA)
    ensemble, params = fresh(linear_config(batch_size=1000, learning_rate=0.01), train)
    return ensemble, run(ensemble, params, train, holdout, 300).params


def test_a_linear_system_is_recovered(linear_fit: tuple[Ensemble, EnsembleParams]) -> None:
    """E1: columns of A from predictions at unit vectors, within 5 standard errors of a bootstrapped regression."""
    ensemble, params = linear_fit
    points = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)])
    mean = np.asarray(ensemble.predict(params, points[:, :2], points[:, 2:]).mean)
    columns = mean[:, 1:] - mean[:, :1]  # [E, input, output]
    error = np.abs(columns.transpose(0, 2, 1) - MATRIX).max(axis=(0, 2))
    assert np.all(error < 5 * SIGMA * np.sqrt(2 / 4000))


def test_the_noise_is_recovered(linear_fit: tuple[Ensemble, EnsembleParams]) -> None:
    """E1: the stds come out at sigma within a few per cent for every member, at ordinary states."""
    ensemble, params = linear_fit
    rng = np.random.default_rng(2)
    obs, action = jnp.asarray(rng.normal(size=(200, 2))), jnp.asarray(rng.normal(size=(200, 1)))
    std = np.asarray(ensemble.predict(params, obs, action).std)
    np.testing.assert_allclose(np.log(std**2).mean(axis=1), np.tile(np.log(SIGMA**2), (3, 1)), atol=0.12)


def spreads(n: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float, float]:
    """(epistemic std, least-squares theory for it, aleatoric std) at a few points, of 20 members on n rows."""
    monkeypatch.setattr(fit, "HOLDOUT_CHUNK", 8)
    sigma = np.full(6, 0.5)
    matrix = np.random.default_rng(0).normal(size=(6, 6)) * 0.5
    train = linear_log(n, n, matrix, sigma)
    ensemble, params = fresh(linear_config(20, batch_size=n, learning_rate=0.04), train)
    params = run(ensemble, params, train, jax.tree.map(lambda x: x[:8], train), 150).params
    rng = np.random.default_rng(1)
    points = rng.normal(size=(32, 6))
    prediction = ensemble.predict(params, jnp.asarray(points[:, :5]), jnp.asarray(points[:, 5:]))
    epistemic = np.sqrt(np.mean(np.var(np.asarray(prediction.mean), axis=0, ddof=1)))
    theory = 0.5 * np.sqrt(np.mean(1 + np.sum(points**2, axis=1)) / n)
    return float(epistemic), float(theory), float(np.sqrt(np.mean(np.asarray(prediction.std) ** 2)))


def test_disagreement_shrinks_with_data_and_noise_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: members differ by the bootstrap, sigma sqrt((1 + |x|^2) / n); the predicted std stays at sigma.

    MOPO's max_std is of the second kind: more data do not make it smaller.
    """
    few, many = spreads(250, monkeypatch), spreads(1000, monkeypatch)
    assert few[0] == pytest.approx(few[1], rel=0.15)
    assert many[0] == pytest.approx(many[1], rel=0.15)
    assert few[0] / many[0] == pytest.approx(2.0, rel=0.15)
    assert few[2] == pytest.approx(0.5, rel=0.15)
    assert many[2] == pytest.approx(0.5, rel=0.05)


def test_a_member_improves_by_more_than_one_per_cent_of_its_best() -> None:
    """E3: 0.9% is not enough, 1.1% is; growing errors and NaN are not; the first error always is."""
    best = jnp.asarray([1.0, 1.0, 1.0, 1.0, 1e10])
    new = jnp.asarray([0.991, 0.989, 1.5, jnp.nan, 123.0])
    np.testing.assert_array_equal(improved(best, new, 0.01), [False, True, False, False, True])


class Scripted:
    """Epochs of a tiny two-member ensemble whose held-out errors are read from a script."""

    def __init__(self) -> None:
        train = linear_log(0, 16, MATRIX, SIGMA)
        config = linear_config(2, elites=2, batch_size=8, patience=5)
        self.ensemble, self.params = fresh(config, train, learned=True)
        self.data, self.epoch = fit_data(self.params, train), jax.jit(make_epoch(self.ensemble))
        self.restart()

    def restart(self) -> None:
        """Back to before the first epoch, without compiling again."""
        self.state, self.nets, self.heads = init_fit(self.ensemble, self.params), [], []

    def play(self, errors: list[float], head_loss: float = 1.0) -> int:
        """One epoch that ends with these held-out errors; the count of stale epochs."""
        script = (jnp.asarray(errors, jnp.float32), jnp.asarray(head_loss, jnp.float32))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit, "holdout_errors", lambda ensemble, params, holdout: holdout)
            self.state, *_ = self.epoch(self.state, ROOT, self.data, script)
        self.nets.append(self.state.params.net)
        self.heads.append(self.state.params.termination)
        return int(self.state.stale)


@pytest.fixture(scope="module")
def scripted() -> Scripted:
    """One compiled epoch for all scripts."""
    return Scripted()


def test_five_flat_epochs_end_the_fit(scripted: Scripted) -> None:
    """E3: progress of either member clears the count; small steps count once they add up to 1% of the best."""
    script = scripted
    script.restart()
    assert script.play([1.0, 2.0]) == 0
    assert script.play([0.995, 2.0]) == 1  # 0.5% of the best
    assert script.play([0.991, 3.0]) == 2  # 0.9% of the best, though the errors keep falling
    assert script.play([0.989, 3.0]) == 0  # 1.1%
    assert script.play([0.99, 1.9]) == 0  # the other member
    assert [script.play([0.985, 1.89]) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert int(script.state.stale) >= script.ensemble.config.patience


def test_every_member_keeps_its_own_best_snapshot(scripted: Scripted) -> None:
    """E3, E4: member 0 is best after epoch 2, member 1 after epoch 1, the head after epoch 3; best member first."""
    script = scripted
    script.restart()
    for errors, head_loss in [([3.0, 2.0], 0.7), ([1.0, 2.5], 0.6), ([1.5, 1.999], 0.5), ([9.0, 9.0], 0.55)]:
        script.play(errors, head_loss)
    done = finish_fit(script.ensemble, script.state)
    kernels = [np.asarray(net["params"]["Dense_0"]["kernel"]) for net in script.nets]
    best = np.asarray(done.net["params"]["Dense_0"]["kernel"])
    np.testing.assert_array_equal(best[0], kernels[1][0])
    np.testing.assert_array_equal(best[1], kernels[0][1])
    assert np.abs(kernels[1][1] - kernels[0][1]).max() > 1e-3
    jax.tree.map(np.testing.assert_array_equal, done.termination, script.heads[2])
    np.testing.assert_allclose(script.state.best_error, [1.0, 2.0])
    np.testing.assert_array_equal(done.elites, [0, 1])


def test_the_epoch_compiles_once(scripted: Scripted) -> None:
    """Weak types in the first state made every fit compile its epoch three times."""
    scripted.restart()
    scripted.epoch.clear_cache()
    for _ in range(3):
        scripted.play([1.0, 1.0])
    assert scripted.epoch._cache_size() == 1


def test_elites_are_the_lowest_best_errors_in_order() -> None:
    """E4: argsort of the best held-out errors, cut to the number of elites."""
    train = linear_log(0, 16, MATRIX, SIGMA)
    ensemble, params = fresh(linear_config(6, elites=3), train)
    state = init_fit(ensemble, params)._replace(best_error=jnp.asarray([0.4, 0.1, 0.9, 0.2, 0.8, 0.3]))
    np.testing.assert_array_equal(finish_fit(ensemble, state).elites, [1, 3, 5])


def members_rows(batches: np.ndarray, member: int) -> Counter[int]:
    """How often each row occurs in a member's epoch."""
    return Counter(batches[:, member].ravel().tolist())


def test_bootstrap_rows_are_drawn_once_and_only_reshuffled() -> None:
    """A member sees the same multiset of rows in every epoch, in another order; redrawing would undo the bootstrap."""
    epochs = [np.asarray(fit._epoch_batches(4, 10, 60, ROOT, jnp.asarray(i))) for i in range(4)]
    drawn = np.asarray(bootstrap_rows(jax.random.fold_in(ROOT, 0), 4, 60))
    assert epochs[0].shape == (6, 5, 10)
    for member in range(4):
        sets = [members_rows(batches, member) for batches in epochs]
        assert sets == [Counter(drawn[member].tolist())] * 4
        assert max(sets[0].values()) > 1
        assert len(sets[0]) < 50  # about 63% of 60
    assert not np.array_equal(epochs[0], epochs[1])
    assert members_rows(epochs[0], 0) != members_rows(epochs[0], 1)


def test_the_termination_head_sees_each_row_once_an_epoch() -> None:
    """The last line of a batch is not bootstrapped, so that rare ends are not lost to it."""
    for epoch in range(3):
        batches = np.asarray(fit._epoch_batches(2, 10, 60, ROOT, jnp.asarray(epoch)))
        assert members_rows(batches, 2) == Counter(range(60))


@pytest.mark.parametrize(("rows", "batch_size", "steps", "size"), [(23, 5, 4, 5), (7, 256, 1, 7), (8, 8, 1, 8)])
def test_batches_of_awkward_sizes(rows: int, batch_size: int, steps: int, size: int) -> None:
    """A remainder waits for another epoch's order, and a small log is one batch; no row is invented."""
    batches = np.asarray(fit._epoch_batches(3, batch_size, rows, ROOT, jnp.asarray(0)))
    assert batches.shape == (steps, 4, size)
    drawn = np.asarray(bootstrap_rows(jax.random.fold_in(ROOT, 0), 3, rows))
    for member in range(3):
        assert members_rows(batches, member) <= Counter(drawn[member].tolist())
    assert members_rows(batches, 3) <= Counter(range(rows))


@pytest.mark.parametrize("rows", [1, 8, 21])
def test_padding_does_not_touch_the_held_out_error(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8, padded with zeros, equal the plain NumPy mean over rows and dimensions."""
    monkeypatch.setattr(fit, "HOLDOUT_CHUNK", 8)
    log = linear_log(3, rows, MATRIX, SIGMA)
    log = log._replace(terminated=(jnp.arange(rows) % 3 == 0).astype(jnp.float32))
    ensemble, params = fresh(linear_config(), linear_log(0, 50, MATRIX, SIGMA), learned=True)
    params = params._replace(
        net=jax.tree.map(lambda x: x + 0.5, params.net)
    )  # biases, so that padding is not predicted
    data = fit_data(params, log)
    error, head_loss = holdout_errors(ensemble, params, data)
    mean = np.asarray(ensemble.predict(params, log.obs, log.action).mean, np.float64)  # targets are raw here
    np.testing.assert_allclose(error, np.mean((mean - np.asarray(targets_of(log))) ** 2, axis=(1, 2)), rtol=1e-4)
    p = 1 / (1 + np.exp(-np.asarray(ensemble.termination_logit(params, log.obs, log.action, log.next_obs), np.float64)))
    y = np.asarray(log.terminated)
    assert head_loss == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), rel=1e-4)


def test_fit_data_is_the_change_then_the_reward_in_standardised_units() -> None:
    """By hand: one row moves from (1, 2) to (4, 6) with reward 7; inputs have mean 1 and std 2, targets std 3."""
    row = Transition(*(jnp.asarray(x) for x in ([[1.0, 2.0]], [[3.0]], [7.0], [[4.0, 6.0]], [1.0])))
    np.testing.assert_array_equal(targets_of(row), [[3.0, 4.0, 7.0]])
    _, params = fresh(linear_config(), linear_log(0, 50, MATRIX, SIGMA))
    params = params._replace(
        inputs=params.inputs._replace(mean=jnp.ones(3), std=jnp.full(3, 2.0)),
        targets=params.targets._replace(mean=jnp.zeros(3), std=jnp.full(3, 3.0)),
        outputs=params.outputs._replace(mean=jnp.asarray([4.0, 0.0, 99.0]), std=jnp.asarray([1.0, 2.0, 99.0])),
    )
    data = fit_data(params, row)
    np.testing.assert_allclose(data.inputs, [[0.0, 0.5, 1.0]])
    np.testing.assert_allclose(data.targets, [[1.0, 4 / 3, 7 / 3]], rtol=1e-6)
    np.testing.assert_allclose(data.next_obs, [[0.0, 3.0]])
    assert isinstance(data, FitData)
    assert data.terminated[0] == 1.0


def test_the_units_of_the_log_do_not_matter() -> None:
    """E3: observations in other units and shifted actions, refitted, give the same predictions in those units."""
    config = linear_config(2, hidden=(8,), weight_decay=(1e-5, 1e-5), batch_size=50, standardise_targets=True)
    log = linear_log(4, 200, MATRIX, SIGMA)
    scale, shift = jnp.asarray([20.0, 0.05]), jnp.asarray([3.0, -1.0])
    other = log._replace(
        obs=log.obs * scale + shift, next_obs=log.next_obs * scale + shift, action=0.3 * log.action + 0.2
    )
    predictions = []
    for rows in (log, other):
        ensemble, params = fresh(config, rows)
        fitted = run(ensemble, params, rows, jax.tree.map(lambda x: x[:40], rows), 5).params
        start = fresh(config, rows)[1]
        assert np.abs(fitted.net["params"]["Dense_0"]["kernel"] - start.net["params"]["Dense_0"]["kernel"]).max() > 0.05
        predictions.append(ensemble.predict(fitted, rows.obs[:20], rows.action[:20]))
    factor = jnp.concatenate([scale, jnp.ones(1)])
    np.testing.assert_allclose(predictions[1].mean / factor, predictions[0].mean, atol=2e-3)
    np.testing.assert_allclose(predictions[1].std / factor, predictions[0].std, rtol=2e-3)


def test_the_termination_head_learns_where_episodes_end() -> None:
    """Ends are where the next observation's first number exceeds 1: nearly every row is called right."""
    log = linear_log(5, 1000, MATRIX, SIGMA)
    log = log._replace(terminated=(log.next_obs[:, 0] > 1.0).astype(jnp.float32))
    ensemble, params = fresh(linear_config(2, batch_size=100), log, learned=True)
    fitted = run(ensemble, params, log, log, 30)
    done = finish_fit(ensemble, fitted)
    called = np.asarray(ensemble.termination_logit(done, log.obs, log.action, log.next_obs) > 0)
    truth = np.asarray(log.terminated) > 0.5
    assert 0.1 < truth.mean() < 0.5
    assert np.mean(called == truth) > 0.97
