"""MOReL's HALT: by hand on three rows, its thresholds, and the detector over a log."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.algorithms import morel
from orl.algorithms.base import Problem
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.uncertainty import max_pairwise
from orl.mdp.halt import HaltParams, absorbing_value, discrepancy_threshold, halt, is_unknown
from orl.mdp.step import make_step
from orl.types import Array, Step, Transition


def fixed_step(params: Array, key: Array, obs: Array, action: Array) -> Step:
    """Rewards 1, 2, 3 with uncertainties `params`; the first row ends by itself."""
    ended = jnp.asarray([True, False, False])
    return Step(obs + 1.0, jnp.asarray([1.0, 2.0, 3.0]), ended, params)


def halted(threshold: float, value: float, *, bootstrapped: bool) -> Step:
    """The fixed step with uncertainties (0, 0.5, 4) in the pessimistic MDP, discount 0.9."""
    params = HaltParams(jnp.asarray([0.0, 0.5, 4.0]), jnp.asarray(threshold), jnp.asarray(value))
    return halt(fixed_step, 0.9, bootstrapped=bootstrapped)(params, jax.random.key(0), jnp.ones((3, 2)), jnp.ones(3))


def test_an_unknown_pair_earns_its_reward_and_then_halts_value() -> None:
    """Value -10 at discount 0.9, threshold 1: the third row gets 3 - 9 = -6 and ends; the others are untouched."""
    out = halted(1.0, -10.0, bootstrapped=True)
    np.testing.assert_allclose(out.reward, [1.0, 2.0, -6.0])
    np.testing.assert_array_equal(out.terminated, [True, False, True])
    np.testing.assert_array_equal(out.next_obs, np.full((3, 2), 2.0))
    np.testing.assert_array_equal(out.uncertainty, [0.0, 0.5, 4.0])


def test_a_one_off_penalty_takes_the_place_of_the_reward() -> None:
    """The same with the plain form: -10 in place of 3."""
    out = halted(1.0, -10.0, bootstrapped=False)
    np.testing.assert_allclose(out.reward, [1.0, 2.0, -10.0])
    np.testing.assert_array_equal(out.terminated, [True, False, True])


def test_unknown_means_above_the_threshold() -> None:
    """U = TRUE iff disc > threshold: at the threshold itself the pair is known. A NaN is never known."""
    params = HaltParams(jnp.zeros(()), jnp.asarray(0.5), jnp.zeros(()))
    unknown = is_unknown(params, jnp.asarray([0.0, 0.5, 0.50001, jnp.nan]))
    np.testing.assert_array_equal(unknown, [False, False, True, True])


@pytest.mark.parametrize("bootstrapped", [True, False])
def test_an_infinite_threshold_is_the_bare_model(bootstrapped: bool) -> None:
    """R6: nothing is unknown; bit for bit the bare ensemble's step."""
    ensemble, params = constant_ensemble(np.asarray([[0.0, 1.0], [5.0, 2.0]]), np.ones((2, 2)), (0, 1))
    bare = make_step(ensemble, "never", "max_pairwise")
    args = jax.random.key(0), jnp.ones((9, 1)), jnp.ones((9, 1))
    world = HaltParams(params, jnp.asarray(jnp.inf), jnp.asarray(-100.0))
    pessimistic = halt(bare, 0.99, bootstrapped=bootstrapped)(world, *args)
    jax.tree.map(np.testing.assert_array_equal, pessimistic, bare(params, *args))


def test_a_threshold_below_all_ends_every_step() -> None:
    """R6: every action leads to HALT."""
    assert np.all(halted(-1.0, -10.0, bootstrapped=True).terminated)
    np.testing.assert_allclose(halted(-1.0, -10.0, bootstrapped=True).reward, [-8.0, -7.0, -6.0])


def test_identical_members_never_halt() -> None:
    """Peer bug: where different rows are compared, members that agree still look unknown."""
    ensemble, params = constant_ensemble(np.asarray([[3.0, 1.0]] * 3), np.ones((3, 2)), (0, 1))
    step = halt(make_step(ensemble, "never", "max_pairwise"), 0.99, bootstrapped=True)
    obs = 100.0 * jax.random.normal(jax.random.key(1), (20, 1))
    out = step(HaltParams(params, jnp.zeros(()), jnp.asarray(-1e9)), jax.random.key(0), obs, jnp.zeros((20, 1)))
    assert not np.any(out.terminated)


def test_threshold_rules_equal_numpy() -> None:
    """R5: mean + beta * (population) std, the paper's; beta * max, the official code's."""
    disc = np.random.default_rng(0).gamma(2.0, size=500).astype(np.float32)
    mean_std = float(discrepancy_threshold(jnp.asarray(disc), "mean_std", 5.0))
    assert mean_std == pytest.approx(disc.mean() + 5.0 * disc.std(), rel=1e-5)
    assert float(discrepancy_threshold(jnp.asarray(disc), "max", 3.0)) == pytest.approx(3.0 * disc.max())
    by_hand = jnp.asarray([1.0, 3.0])
    assert float(discrepancy_threshold(by_hand, "mean_std", 2.0)) == pytest.approx(4.0)
    assert float(discrepancy_threshold(by_hand, "max", 2.0)) == pytest.approx(6.0)


def test_absorbing_value_is_the_sum_of_the_series() -> None:
    """-kappa (1 + g + g^2 + ...): kappa 2 at 0.9 is -20."""
    assert absorbing_value(2.0, 0.9) == pytest.approx(-20.0)
    assert absorbing_value(2.0, 0.9) == pytest.approx(-sum(2.0 * 0.9**t for t in range(500)))


def random_ensemble() -> tuple[Ensemble, EnsembleParams]:
    """Members that disagree more in some rows than in others, next observations of spread 2 and 3."""
    ensemble, params = constant_ensemble(np.zeros((3, 3)), np.ones((3, 3)), (0, 1), outputs_std=(2.0, 3.0, 50.0))
    kernel = jax.random.normal(jax.random.key(4), params.net["params"]["Dense_0"]["kernel"].shape)
    params.net["params"]["Dense_0"]["kernel"] = kernel
    return ensemble, params


def log(n: int) -> Transition:
    """n random rows of two observation dimensions, rewards from -3 up."""
    keys = jax.random.split(jax.random.key(n), 4)
    obs, next_obs = jax.random.normal(keys[0], (n, 2)), jax.random.normal(keys[1], (n, 2))
    reward = jnp.linspace(-3.0, 2.0, n)
    return Transition(obs, jax.random.uniform(keys[2], (n, 1)), reward, next_obs, jnp.zeros(n))


@pytest.mark.parametrize("n", [3, 4, 9])
def test_the_logs_discrepancies_do_not_depend_on_chunks_or_order(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5: in chunks of 4 equal to NumPy row by row, and a shuffled log gives the shuffled values."""
    monkeypatch.setattr(morel, "cached_rows", lambda: 4)
    ensemble, params = random_ensemble()
    rows = log(n)
    disc = np.asarray(morel.discrepancies(ensemble, params, rows))
    mean = np.asarray(ensemble.predict(params, rows.obs, rows.action).mean)[..., :-1] / [2.0, 3.0]
    expected = [max(np.linalg.norm(mean[i, b] - mean[j, b]) for i in range(3) for j in range(i)) for b in range(n)]
    np.testing.assert_allclose(disc, expected, rtol=1e-4)
    shuffled = jax.tree.map(lambda x: x[::-1], rows)
    np.testing.assert_allclose(morel.discrepancies(ensemble, params, shuffled), disc[::-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"halt_value": "offset", "halt_offset": -30.0}, -33.0),
        ({"halt_value": "kappa", "discount": 0.9}, -30.0),  # kappa 0 takes max |r| = 3
        ({"halt_value": "kappa", "kappa": 2.0, "discount": 0.9}, -20.0),
    ],
)
def test_halts_value_by_each_rule(settings: dict, value: float) -> None:
    """By hand for logged rewards of -3 to 2."""
    halt_value = morel.halt_value(morel.MorelConfig(**settings), jnp.asarray([-3.0, 0.0, 2.0]))
    assert float(halt_value) == pytest.approx(value)


def test_the_world_of_morel_is_built_from_the_log() -> None:
    """Threshold mean + beta std of the log's discrepancies in standardised units; the step ends above it."""
    ensemble, params = random_ensemble()
    rows = log(40)
    config = morel.MorelConfig(threshold_beta=1.5, halt_value="offset", halt_offset=-30.0)
    algorithm = morel.build(config, Problem(2, 1, 1, ensemble, "never"))
    world = algorithm.world(params, rows)
    disc = np.asarray(max_pairwise(ensemble.predict(params, rows.obs, rows.action), jnp.asarray([2.0, 3.0, 50.0])))
    assert float(world.threshold) == pytest.approx(disc.mean() + 1.5 * disc.std(), rel=1e-4)
    assert float(world.value) == pytest.approx(-33.0)
    out = algorithm.step(world, jax.random.key(0), rows.obs, rows.action)  # type: ignore[misc]
    np.testing.assert_array_equal(out.terminated, disc > disc.mean() + 1.5 * disc.std())
    np.testing.assert_array_equal(np.asarray(out.reward) == -33.0, out.terminated)
    assert 0 < out.terminated.sum() < 40
