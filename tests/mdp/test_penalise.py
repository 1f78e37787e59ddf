"""MOPO's penalty: on the model's reward only, with the right sign, and nothing else touched."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble

from orl.agents.actor import uniform_act
from orl.algorithms import mbpo, mopo
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.epoch import Schedule, TrainData, TrainState, init_training, make_epoch
from orl.data.normalise import identity_normaliser
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.mdp.penalty import penalise
from orl.mdp.step import make_step
from orl.types import Array, Batch, Step, Transition

DIFFERENT = np.asarray([[0.1, 0.2, 1.0], [0.3, -0.1, 2.0]]), np.asarray([[0.3, 0.0, 0.4], [0.1, 0.2, 0.2]])
SAME = np.asarray([[0.1, 0.2, 1.0]] * 2), np.asarray([[0.3, 0.1, 0.4]] * 2)
SETTINGS: dict[str, Any] = {"hidden": (4,), "batch_size": 40, "real_ratio": 0.5, "rollout_length": 3}


def fixed_step(params: Array, key: Array, obs: Array, action: Array) -> Step:
    """Rewards 1, 2, 3 with uncertainties `params`."""
    ended = jnp.asarray([False, True, False])
    return Step(obs + jax.random.normal(key, obs.shape), jnp.asarray([1.0, 2.0, 3.0]), ended, params)


def test_the_penalty_is_subtracted_by_hand() -> None:
    """r - 2 u for u = (0, 0.5, 4): (1, 1, -5). The other sign gives (1, 3, 11). All else is the bare step's."""
    args = jnp.asarray([0.0, 0.5, 4.0]), jax.random.key(0), jnp.ones((3, 2)), jnp.ones((3, 1))
    bare, out = fixed_step(*args), penalise(fixed_step, 2.0)(*args)
    np.testing.assert_array_equal(out.reward, [1.0, 1.0, -5.0])
    jax.tree.map(np.testing.assert_array_equal, out._replace(reward=bare.reward), bare)


def test_without_uncertainty_the_step_is_the_bare_one_bit_for_bit() -> None:
    """M5: whatever the coefficient."""
    ensemble, params = constant_ensemble(*DIFFERENT, (0, 1))
    bare = make_step(ensemble, "never")
    args = params, jax.random.key(0), jnp.ones((30, 2)), jnp.ones((30, 1))
    jax.tree.map(np.testing.assert_array_equal, penalise(bare, 1e6)(*args), bare(*args))


def one_epoch(algorithm: Algorithm, params: EnsembleParams) -> tuple[TrainState, Transition]:
    """An epoch of one update, of an agent that only keeps the batch it was given; and the log it was drawn from."""
    n = 50
    ids = jnp.arange(n, dtype=jnp.float32)
    obs = jnp.stack([ids, -ids], axis=-1)
    logged = Transition(obs, ids[:, None] / n, 0.25 * ids, obs + 1, ids % 2)
    empty = jax.tree.map(lambda x: jnp.zeros((20, *x.shape[1:])), logged)
    algorithm = algorithm._replace(
        init=lambda key, normaliser: Batch(empty, empty),
        update=lambda key, state, batch, world: (batch, {}),
        policy=lambda state: None,
        rollout_act=uniform_act(1),
    )
    schedule = Schedule(updates=1, rollout_batch=8, rollout_length=3)
    state = init_training(algorithm, schedule, jax.random.key(1), identity_normaliser(2), 2, 1)
    data = TrainData(logged, logged.obs, algorithm.world(params, logged))
    return jax.jit(make_epoch(algorithm, schedule))(state, jax.random.key(2), data)[0], logged


def build(ensemble: Ensemble, coef: float, uncertainty: str = "max_std") -> Algorithm:
    """MOPO on a tiny problem."""
    config = mopo.MopoConfig(**SETTINGS, penalty_coef=coef, uncertainty=uncertainty)  # type: ignore[arg-type]
    return mopo.build(config, Problem(2, 1, 1, ensemble, "never"))


@pytest.fixture(scope="module")
def ruinous() -> tuple[TrainState, Transition]:
    """An epoch of MOPO with lambda = 1e6 on members that are unsure."""
    ensemble, params = constant_ensemble(*DIFFERENT, (0, 1))
    return one_epoch(build(ensemble, 1e6), params)


def test_logged_rows_reach_the_update_unpenalised(ruinous: tuple[TrainState, Transition]) -> None:
    """M5, M7: with lambda = 1e6 the model's rows are ruined and every logged row is still the log's, whole."""
    state, logged = ruinous
    real, model, *_ = state.agent
    assert real.reward.shape == model.reward.shape == (20,)
    row = np.asarray(real.obs[:, 0]).astype(int)
    assert len(set(row.tolist())) > 5
    jax.tree.map(lambda x, log: np.testing.assert_array_equal(x, log[row]), real, logged)
    assert np.all(model.reward < -1e5)


def test_the_buffer_holds_rewards_less_lambda_u(ruinous: tuple[TrainState, Transition]) -> None:
    """M5: u is the fixed max_i ||std_i|| = 0.5 with the reward's 0.4 in it (0.3 without): rewards fall by 5e5."""
    ensemble, params = constant_ensemble(*DIFFERENT, (0, 1))
    bare, penalised = one_epoch(build(ensemble, 0.0), params)[0].ring, ruinous[0].ring
    assert int(bare.size) == int(penalised.size) == 24
    np.testing.assert_allclose(penalised.rows.reward, bare.rows.reward - 5e5, atol=1.0)
    others = penalised.rows._replace(reward=bare.rows.reward)
    jax.tree.map(np.testing.assert_array_equal, others, bare.rows)


def test_mopo_is_mbpo_where_members_agree() -> None:
    """M5: identical members have max_pairwise 0, so even lambda = 1e6 gives MBPO's transitions."""
    ensemble, params = constant_ensemble(*SAME, (0, 1))
    penalised = one_epoch(build(ensemble, 1e6, "max_pairwise"), params)[0].ring
    bare = mbpo.build(mbpo.MbpoConfig(**SETTINGS), Problem(2, 1, 1, ensemble, "never"))
    ring = one_epoch(bare, params)[0].ring
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), ring, penalised)


@pytest.mark.parametrize("coef", [0.5, 3.0])
def test_the_metrics_of_a_rollout_are_the_mean_uncertainty_and_penalty(coef: float) -> None:
    """`uncertainty` is u itself and `penalty` lambda u, over live rows."""
    ensemble, params = constant_ensemble(*DIFFERENT, (0, 1))
    algorithm = build(ensemble, coef)
    uncertainty, alive = jnp.asarray([[1.0, 3.0], [5.0, 1e9]]), jnp.asarray([[True, True], [True, False]])
    rows = Transition(*[jnp.zeros((2, 2))] * 5)
    metrics = algorithm.rollout_metrics(params, mopo.Rollout(rows, uncertainty, alive))
    assert float(metrics["uncertainty"]) == pytest.approx(3.0)
    assert float(metrics["penalty"]) == pytest.approx(3.0 * coef)
