"""The ensemble as a function: its initialiser, its units, and how rows are dealt to elites."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.normalise import Normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams, next_obs_normaliser
from orl.networks import truncated_fan_in

OBS, ACT = 3, 2


def random_normaliser(seed: int, dim: int) -> Normaliser:
    """Means and spreads far from 0 and 1."""
    rng = np.random.default_rng(seed)
    return Normaliser(jnp.asarray(rng.normal(size=dim), jnp.float32), jnp.asarray(rng.uniform(0.3, 3.0, dim)))


@functools.cache
def small_ensemble() -> tuple[Ensemble, EnsembleParams]:
    """Four random members with non-trivial normalisers, whose elites are not the first of them."""
    config = EnsembleConfig(members=4, elites=3, hidden=(8,), weight_decay=(0.0, 0.0))
    ensemble = Ensemble(config, OBS, ACT, learned_termination=True)
    params = ensemble.init(
        jax.random.key(1),
        inputs=random_normaliser(0, OBS + ACT),
        targets=random_normaliser(1, OBS + 1),
        outputs=random_normaliser(2, OBS + 1),
    )
    return ensemble, params._replace(elites=jnp.asarray([2, 0, 3], jnp.int32))


def rows(n: int) -> tuple[jax.Array, jax.Array]:
    """n different observations and actions."""
    rng = np.random.default_rng(3)
    return jnp.asarray(rng.normal(size=(n, OBS)), jnp.float32), jnp.asarray(rng.uniform(-1, 1, (n, ACT)), jnp.float32)


def by_hand(params: EnsembleParams, member: int, obs: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One member's raw (mean, std) in float64 NumPy."""
    layers = jax.tree.map(lambda x: np.asarray(x[member], np.float64), params.net["params"])
    inputs, targets = (jax.tree.map(np.asarray, n) for n in (params.inputs, params.targets))
    x = (np.concatenate([obs, action], axis=-1) - inputs.mean) / inputs.std
    h = x @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"]
    out = h / (1 + np.exp(-h)) @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]
    mean, log_var = np.split(out, 2, axis=-1)
    low, high = np.asarray(params.min_log_var), np.asarray(params.max_log_var)
    log_var = high - np.logaddexp(0, high - log_var)
    log_var = low + np.logaddexp(0, log_var - low)
    return mean * targets.std + targets.mean, np.exp(log_var / 2) * targets.std


def test_initial_weights_have_the_papers_spread() -> None:
    """Normal of std 1 / (2 sqrt(fan_in)) cut at two of it, as in MBPO: std 0.8796 of that, nothing beyond 1 / sqrt."""
    weights = np.asarray(truncated_fan_in()(jax.random.key(0), (25, 40_000)))
    assert weights.std() == pytest.approx(0.87962 * 0.5 / 5.0, rel=5e-3)
    assert 0.995 * 0.2 < np.abs(weights).max() <= 0.2 + 1e-7


def test_the_members_kernels_start_with_their_own_fan_in() -> None:
    """Peer bug: the member axis taken for the fan-in. Both layers, seven members of 200 units."""
    ensemble = Ensemble(EnsembleConfig(hidden=(200,), weight_decay=(0.0, 0.0)), 11, 5)
    ones = identity_normaliser(16)
    net = ensemble.init(jax.random.key(0), ones, identity_normaliser(12), identity_normaliser(12)).net["params"]
    for name, fan_in in (("Dense_0", 16), ("Dense_1", 200)):
        spread = np.asarray(net[name]["kernel"]).std()
        assert spread == pytest.approx(0.87962 * 0.5 / np.sqrt(fan_in), rel=0.02)
        assert not np.any(net[name]["bias"])


def test_members_start_different() -> None:
    """Members that share their start cannot disagree."""
    _, params = small_ensemble()
    kernel = np.asarray(params.net["params"]["Dense_0"]["kernel"])
    for i in range(4):
        for j in range(i):
            assert np.abs(kernel[i] - kernel[j]).max() > 0.1


def test_predictions_are_in_raw_units() -> None:
    """Inputs are standardised, outputs scaled back (mean and std), and every member equals its own NumPy network."""
    ensemble, params = small_ensemble()
    obs, action = rows(6)
    prediction = ensemble.predict(params, obs, action)
    assert prediction.mean.shape == prediction.std.shape == (4, 6, OBS + 1)
    for member in range(4):
        mean, std = by_hand(params, member, np.asarray(obs), np.asarray(action))
        np.testing.assert_allclose(prediction.mean[member], mean, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(prediction.std[member], std, rtol=2e-5)


def test_standardised_targets_change_units_only() -> None:
    """The same network with targets of std 2 and mean 5 predicts 2 mean + 5 and 2 std."""
    ensemble, params = small_ensemble()
    plain = params._replace(targets=identity_normaliser(OBS + 1))
    scaled = plain._replace(targets=Normaliser(jnp.full(OBS + 1, 5.0), jnp.full(OBS + 1, 2.0)))
    obs, action = rows(4)
    before, after = ensemble.predict(plain, obs, action), ensemble.predict(scaled, obs, action)
    np.testing.assert_allclose(after.mean, 2.0 * before.mean + 5.0, rtol=1e-6)
    np.testing.assert_allclose(after.std, 2.0 * before.std, rtol=1e-6)


def test_one_batch_a_member_agrees_with_the_shared_batch() -> None:
    """`head` on [M, B, D] gives each member its own rows."""
    ensemble, params = small_ensemble()
    x = jax.random.normal(jax.random.key(5), (4, 6, OBS + ACT))
    mean, log_var = ensemble.head(params, params.net, x)
    for member in range(4):
        shared = ensemble.head(params, params.net, x[member])
        np.testing.assert_allclose(mean[member], shared[0][member], atol=1e-6)
        np.testing.assert_allclose(log_var[member], shared[1][member], atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_a_dealt_row_gets_one_elites_prediction_of_that_row(n: int) -> None:
    """Row order is kept and mean and std come from the same elite, also with fewer rows than elites or a remainder."""
    ensemble, params = small_ensemble()
    obs, action = rows(n)
    everyone = jax.tree.map(np.asarray, ensemble.predict(params, obs, action))
    mean, std = map(np.asarray, ensemble.predict_dealt(params, jax.random.key(n), obs, action))
    assert mean.shape == std.shape == (n, OBS + 1)
    for row in range(n):
        gap = np.abs(everyone.mean[:, row] - mean[row]).max(axis=-1) + np.abs(everyone.std[:, row] - std[row]).max(-1)
        member = int(np.argmin(gap))
        assert gap[member] < 1e-5
        assert member in (0, 2, 3)
        assert np.sort(gap)[1] > 1e-3  # no other member would have passed


@pytest.mark.parametrize("n", [2, 7])
def test_every_elite_is_as_likely_for_every_row(n: int) -> None:
    """Over many keys each (row, elite) pair comes up in a third of them, and member 1, no elite, never does."""
    ensemble, params = small_ensemble()
    obs, action = rows(n)
    keys = jax.random.split(jax.random.key(0), 3000)
    dealt = jax.jit(jax.vmap(lambda key: ensemble.predict_dealt(params, key, obs, action)[0]))(keys)
    everyone = np.asarray(ensemble.predict(params, obs, action).mean)
    member = np.argmin(np.abs(everyone[None] - np.asarray(dealt)[:, None]).max(axis=-1), axis=1)  # [keys, n]
    shares = np.stack([(member == m).mean(axis=0) for m in range(4)])
    np.testing.assert_allclose(shares[[0, 2, 3]], 1 / 3, atol=0.04)  # 4.6 standard errors
    assert not shares[1].any()


def test_dealing_spreads_rows_evenly() -> None:
    """With 9 rows and 3 elites every elite is dealt exactly 3, whatever the key."""
    ensemble, params = small_ensemble()
    obs, action = rows(9)
    everyone = ensemble.predict(params, obs, action).mean
    for seed in range(5):
        mean, _ = ensemble.predict_dealt(params, jax.random.key(seed), obs, action)
        member = np.argmin(np.abs(everyone - mean).max(axis=-1), axis=0)
        np.testing.assert_array_equal(np.bincount(member, minlength=4), [3, 0, 3, 3])


def test_the_termination_head_reads_standardised_inputs_and_next_observation() -> None:
    """Against NumPy: [obs, action] by the inputs' normaliser, next_obs by the outputs', the reward left out."""
    ensemble, params = small_ensemble()
    obs, action = (np.asarray(x) for x in rows(5))
    next_obs = obs + 1.5
    layers = jax.tree.map(lambda x: np.asarray(x, np.float64), params.termination["params"])
    inputs, outputs = (jax.tree.map(np.asarray, n) for n in (params.inputs, params.outputs))
    x = (np.concatenate([obs, action], axis=-1) - inputs.mean) / inputs.std
    h = np.concatenate([x, (next_obs - outputs.mean[:-1]) / outputs.std[:-1]], axis=-1)
    for i in range(3):
        h = h @ layers[f"Dense_{i}"]["kernel"] + layers[f"Dense_{i}"]["bias"]
        h = h / (1 + np.exp(-h)) if i < 2 else h
    np.testing.assert_allclose(ensemble.termination_logit(params, obs, action, next_obs), h[:, 0], atol=1e-4)
    np.testing.assert_array_equal(next_obs_normaliser(params).std, params.outputs.std[:-1])
