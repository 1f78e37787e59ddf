"""MPPI: a closed-form posterior, the limits of its settings, what its candidates are made of."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import NOTHING, assert_close, history, keys, line, slope, target

from orl.config import build
from orl.dynamics.uncertainty import UNCERTAINTIES
from orl.errors import UsageError
from orl.planning.base import History
from orl.planning.mppi import MppiConfig, make_mppi
from orl.planning.shooting import PlannerParams, PriorFn, Shots
from orl.types import Array, StepFn


def drift(params: Array, obs: Array) -> Array:
    """A prior that acts by the state: `params` + s / 128, which rounds nothing below."""
    return params + obs[:, :1] / 128


def constant(params: Array, obs: Array) -> Array:
    """A prior that always plays `params`."""
    return jnp.broadcast_to(params, (obs.shape[0], 1))


def candidates(
    monkeypatch: pytest.MonkeyPatch, config: MppiConfig, step: StepFn, prior: PriorFn | None, params: Any, past: History
) -> tuple[Shots, Array]:
    """The candidates that an MPPI plan with key 0 is made of, [B, N, ...], and their weights [B, N]."""
    with monkeypatch.context() as patch:
        patch.setattr("orl.planning.mppi.average", lambda shots, weights: (shots, weights))
        plan = make_mppi(config, step, prior, None)
        return plan(params, keys(*range(past.now.shape[0])), past)  # type: ignore[return-value]


def test_the_mean_is_the_posterior_of_a_quadratic_return() -> None:
    """P1: prior N(-.2, .5^2), kappa 2, q 3, goal .7: (-.2/.25 + 2*3*.7) / (1/.25 + 2*3) = .34.

    In the world's units, which are twice the planner's, so that the bounds are out of reach.
    """
    config = MppiConfig(horizon=1, samples=200_000, sigma=0.25, beta=0.0, kappa=2.0)
    plan = jax.jit(make_mppi(config, target, constant, None))
    out = plan(PlannerParams(3.0, -0.1, None), keys(0, 1), history([[0.7], [0.7]], np.zeros((2, 1, 1))))
    np.testing.assert_allclose(2 * out.action[:, 0], 0.34, atol=0.004)
    warm = jax.jit(make_mppi(config, target, None, None))  # the same Gaussian, around a guess
    out = warm(PlannerParams(3.0, None, None), keys(0), history([[0.7]], [[[-0.1]]]))
    np.testing.assert_allclose(2 * out.action[:, 0], 0.34, atol=0.004)


def test_without_noise_and_past_the_plan_is_the_priors_own() -> None:
    """P3: beta 0 and sigma 0 give the prior's action bit for bit, then its actions in the states that follow."""
    config = MppiConfig(horizon=3, samples=8, sigma=0.0, beta=0.0, discount=0.5)
    now, guess = np.asarray([[2.0], [5.0]]), np.full((2, 3, 1), 0.9)
    out = make_mppi(config, line, drift, None)(PlannerParams(None, 0.125, None), keys(0, 1), history(now, guess))
    np.testing.assert_array_equal(out.action, drift(jnp.asarray(0.125), jnp.asarray(now, jnp.float32)))
    s, score = now[:, 0], 0.0
    for t in range(3):
        a = 0.125 + s / 128
        np.testing.assert_allclose(out.trajectory.action[:, t, 0], a, rtol=1e-5)
        np.testing.assert_allclose(out.trajectory.obs[:, t, 0], s, rtol=1e-5)
        s, score = s + a, score + 0.5**t * (10 * s + a)
    np.testing.assert_allclose(out.value, score, rtol=1e-5)


@pytest.mark.parametrize("prior", [drift, None])
def test_the_limits_of_kappa(monkeypatch: pytest.MonkeyPatch, prior: PriorFn | None) -> None:
    """P3: the best candidate for a large kappa, the plain mean of all for 0; in every episode and at every step."""
    past = history([[2.0], [-3.0]], np.linspace(-0.3, 0.3, 6).reshape(2, 3, 1))
    params = PlannerParams(None, 0.1, None)
    for kappa in (0.0, 1e5):
        config = MppiConfig(horizon=3, samples=50, kappa=kappa)
        shots, _ = candidates(monkeypatch, config, line, prior, params, past)
        out = make_mppi(config, line, prior, None)(params, keys(0, 1), past)
        best = np.argmax(shots.score, axis=1)
        for b in range(2):
            chosen = jax.tree.map(lambda x, b=b: x[b, best[b]] if kappa else np.mean(x[b], axis=0), shots)  # noqa: B023
            assert_close((out.value[b], out.trajectory.obs[b], out.trajectory.action[b]), tuple(chosen[:3]))
            np.testing.assert_allclose(out.action[b], chosen.action[0], rtol=1e-4, atol=1e-5)


def test_weights_follow_the_discounted_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """exp(kappa * score) normalised within each episode, from scores that NumPy adds up with the config's discount."""
    config = MppiConfig(horizon=3, samples=20, kappa=0.3, discount=0.8)
    past = history([[0.02], [0.03]], np.zeros((2, 3, 1)))
    shots, weights = candidates(monkeypatch, config, line, drift, PlannerParams(None, 0.1, None), past)
    score = np.asarray(shots.reward) @ [1, 0.8, 0.64]
    np.testing.assert_allclose(shots.score, score, rtol=1e-4, atol=1e-5)
    expected = np.exp(0.3 * score)
    np.testing.assert_allclose(weights, expected / expected.sum(axis=1, keepdims=True), rtol=1e-3)


def test_the_terminal_value_is_part_of_the_score() -> None:
    """Rewards say up, a value of -100 s at the end says down, and is heard with its own parameters."""
    config = MppiConfig(horizon=3, samples=100, kappa=1e4)
    value = lambda params, obs: params * obs[:, 0]  # noqa: E731
    past = history([[0.0]], np.zeros((1, 3, 1)))
    up = make_mppi(config, line, None, None)(NOTHING, keys(0), past)
    down = make_mppi(config, line, None, value)(PlannerParams(None, None, -100.0), keys(0), past)
    assert up.action[0, 0] > 0.3
    assert down.action[0, 0] < -0.3
    assert np.all(np.isfinite(down.trajectory.value))


def test_candidates_mix_the_prior_and_the_last_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise 3/4 of the prior in the predicted state and 1/4 of the guess; without a prior the guess alone."""
    config = MppiConfig(horizon=3, samples=4, sigma=0.0, beta=0.25)
    past = history([[2.0]], [[[0.4], [-0.8], [0.2]]])
    shots, _ = candidates(monkeypatch, config, line, drift, PlannerParams(None, 0.1, None), past)
    expected = 0.75 * (0.1 + shots.obs / 128) + 0.25 * past.guess[:, None]
    np.testing.assert_allclose(shots.action, expected, rtol=1e-5)
    shots, _ = candidates(monkeypatch, config, line, None, NOTHING, past)
    np.testing.assert_allclose(shots.action, jnp.tile(past.guess[:, None], (1, 4, 1, 1)))


@pytest.mark.parametrize(("prior", "std"), [(constant, 0.15), (None, 0.2)])
def test_the_noise_of_candidates(monkeypatch: pytest.MonkeyPatch, prior: PriorFn | None, std: float) -> None:
    """Std sigma (1 - beta) with a prior and sigma without; independent over steps, candidates and dimensions."""
    config = MppiConfig(horizon=3, samples=20_000, sigma=0.2, beta=0.25)
    past = history([[0.0]], np.zeros((1, 3, 2)))
    wide = None if prior is None else lambda params, obs: jnp.zeros((obs.shape[0], 2))
    shots, _ = candidates(monkeypatch, config, slope, wide, NOTHING, past)
    noise = np.asarray(shots.action).reshape(20_000, 6)
    np.testing.assert_allclose(noise.std(axis=0), std, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(noise.T), np.eye(6), atol=0.03)
    assert len(np.unique(noise)) > 110_000


def test_clipping_comes_after_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Huge noise around half of -1: a clip of the noisy prior before the mixture would keep all of it below 0."""
    config = MppiConfig(horizon=2, samples=200, sigma=50.0, beta=0.5)
    past = history([[0.0]], np.full((1, 2, 1), -1.0))
    shots, _ = candidates(monkeypatch, config, slope, constant, PlannerParams(None, 0.0, None), past)
    assert {-1.0, 1.0} <= set(np.unique(shots.action))
    assert np.abs(shots.action).max() == 1.0


def test_episodes_do_not_mix() -> None:
    """Three goals in one call give three answers, each the one that its episode gets alone with its key."""
    config = MppiConfig(horizon=1, samples=500, kappa=20.0)
    plan = jax.jit(make_mppi(config, target, constant, None))
    params, goals, guess = PlannerParams(3.0, 0.1, None), [[-1.2], [0.0], [1.2]], [[[-0.5]], [[0.0]], [[0.5]]]
    together = plan(params, keys(7, 8, 9), history(goals, guess))
    np.testing.assert_allclose(2 * together.action, goals, atol=0.1)
    for i in range(3):
        alone = plan(params, keys(7 + i), history(goals[i : i + 1], guess[i : i + 1]))
        assert_close(alone, jax.tree.map(lambda x, i=i: x[i : i + 1], together))


def test_deterministic_in_the_key_with_and_without_jit_and_compiled_once() -> None:
    """The same key gives the same plan, another key another one; new histories do not compile again."""
    plan = make_mppi(MppiConfig(horizon=3, samples=30), line, drift, None)
    traces = []

    def traced(*args: Any) -> Any:
        traces.append(1)
        return plan(*args)

    params, compiled = PlannerParams(None, 0.1, None), jax.jit(traced)
    past = history([[2.0]], np.zeros((1, 3, 1)))
    first = compiled(params, keys(0), past)
    jax.tree.map(np.testing.assert_array_equal, first, compiled(params, keys(0), past))
    assert_close(first, plan(params, keys(0), past))
    other = compiled(params, keys(1), past._replace(guess=past.guess + 0.1))
    assert not np.any(np.asarray(first.action) == np.asarray(other.action))
    assert len(traces) == 1


def test_defaults_are_acmes_and_settings_are_checked() -> None:
    """H 15, N 1000, sigma .8, beta .2, kappa .5; every known uncertainty is accepted, values out of range are not."""
    config = MppiConfig()
    assert (config.horizon, config.samples, config.sigma, config.beta, config.kappa) == (15, 1000, 0.8, 0.2, 0.5)
    assert set(get_args(get_type_hints(MppiConfig)["uncertainty"])) == {"none", *UNCERTAINTIES}
    assert build(MppiConfig, {"uncertainty": "max_std", "penalty_coef": 1}).penalty_coef == 1.0
    for bad in ({"beta": 1.5}, {"sigma": -1}, {"kappa": -1}, {"samples": 0}, {"discount": 0.0}, {"penalty_coef": 1}):
        with pytest.raises(UsageError):
            build(MppiConfig, bad)
