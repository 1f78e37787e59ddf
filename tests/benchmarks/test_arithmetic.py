"""What work is said to need, against the products that the programs do: needed <= done <= a stated factor of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from program_products import ALL, products_of

from orl.algorithms import ALGORITHMS
from orl.algorithms.epoch import Schedule
from orl.dynamics.fit import fit_data, init_fit
from orl.dynamics.fit import make_epoch as make_fit_epoch
from orl.mdp.rollout import rollout as roll
from orl.types import Batch, NextAction
from orl_bench import arithmetic
from orl_bench.hopper import ACT, OBS, algorithm_of, logged, model, start_states
from orl_bench.models import MODEL
from orl_bench.policies import update_flop

SHAPE = (OBS, (256, 256, 256), ACT)


def update_products(name: str, **settings: Any) -> tuple[Any, float]:
    """An algorithm's settings, and the products of one of its updates."""
    config = ALGORITHMS[name].config(**settings)
    algorithm, params = algorithm_of(name, config, 10)
    state = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], start_states(algorithm, Schedule(1, 8, 1, 1), 1).agent))
    rows = jax.eval_shape(lambda: (logged(algorithm.real_rows), logged(algorithm.model_rows)))
    world = jax.eval_shape(algorithm.world, params, logged(100)) if algorithm.step else ()
    batch = Batch(*rows)
    if algorithm.real_next:
        batch = batch._replace(real_next=NextAction(batch.real.action, batch.real.reward))
    arguments = jax.random.key(0), state, batch, world
    return config, products_of(lambda key, *rest: algorithm.update(key, *rest), *arguments)


# The programs compute more than is needed by these factors: dead columns of first layers; for bc the unused half of
# the policy's outputs; for the conservative ones a state's first-layer columns for every action, and logged rows twice.
@pytest.mark.parametrize(
    ("name", "factor"), [("bc", 1.03), ("mopo", 1.03), ("mbpo", 1.03), ("morel", 1.03), ("cql", 1.06), ("combo", 1.05)]
)
def test_policy_updates(name: str, factor: float) -> None:
    config, done = update_products(name)
    assert ALL <= done / update_flop(config) <= factor


@pytest.mark.parametrize(("name", "factor"), [("rebrac", 1.02), ("mobrac", 1.02), ("mobile", 1.05)])
def test_updates_held_near_the_data(name: str, factor: float) -> None:
    """With an actor moved at every update, for a branch's products are counted whether it is taken or not."""
    config, done = update_products(name, **({} if name == "mobile" else {"actor_every": 1}))
    assert ALL <= done / update_flop(config) <= factor


def test_a_rarer_actor_needs_less() -> None:
    """Every second update is without its fit and its way through two critics."""
    often, half = (update_flop(ALGORITHMS["rebrac"].config(actor_every=every)) for every in (1, 2))
    fitted = arithmetic.fit(1024, [OBS, 256, 256, 256, ACT])
    through = 2 * arithmetic.guidance(1024, arithmetic.critic_widths(OBS, (256, 256, 256), ACT), ACT)
    assert often - half == pytest.approx((fitted + through) / 2)


def test_wide_critics() -> None:
    config, done = update_products("morel", hidden=(256, 256, 256), critics=10)
    assert ALL <= done / update_flop(config) <= 1.03


def test_a_combo_update_is_what_the_reference_states() -> None:
    """15.1 GFLOP with detached actions, at 3x256, 30 actions, batch 256.

    That includes what nothing needs: the policy anew for every action of a state, the state's columns of the first
    layer anew for every action, forward and in its weights' gradient, and the logged half of the batch once more.
    """
    again = arithmetic.repeated_proposals(256, *SHAPE, per_source=10)
    again += 2 * 2 * arithmetic.product(256 * 29, OBS, 256)
    again += 2 * arithmetic.fit(128, arithmetic.critic_widths(*SHAPE))
    assert (update_flop(ALGORITHMS["combo"].config()) + again) / 1e9 == pytest.approx(15.1, rel=0.01)


def test_the_ensembles_epoch() -> None:
    ensemble, params = model()
    steps, held = 6, 4096  # a whole chunk of held-out rows
    train, holdout = fit_data(params, logged(steps * 256)), fit_data(params, logged(held))
    done = products_of(make_fit_epoch(ensemble), init_fit(ensemble, params), jax.random.key(0), train, holdout)
    assert ALL <= done / arithmetic.ensemble_epoch(ensemble.config.members, MODEL, 256, steps, held) <= 1.001


@pytest.mark.parametrize(("name", "members"), [("mopo", 7), ("combo", 1)])
def test_rollouts(name: str, members: int) -> None:
    config, rows, horizon = ALGORITHMS[name].config(hidden=(256, 256)), 500, 3
    algorithm, params = algorithm_of(name, config, 10)
    policy = algorithm.policy(jax.tree.map(lambda x: x[0], start_states(algorithm, Schedule(1, 8, 1, 1), 1).agent))

    def run(key: jax.Array, start: jax.Array) -> Any:
        assert algorithm.step is not None
        assert algorithm.rollout_act is not None
        return roll(algorithm.step, algorithm.rollout_act, params, policy, key, start, horizon)

    done = products_of(run, jax.random.key(0), jnp.zeros((rows, OBS)))
    actor = arithmetic.actor_widths(OBS, config.hidden, ACT)
    assert ALL <= done / arithmetic.rollout(rows, horizon, members, MODEL, actor) <= 1.001


def test_layers_by_hand() -> None:
    widths = [2, 3, 4]
    assert arithmetic.forward(5, widths) == 5 * 2 * (6 + 12)
    assert arithmetic.input_gradients(5, widths) == 5 * 2 * 12
    assert arithmetic.input_gradients(5, widths, wanted=1) == 5 * 2 * (3 + 12)
    assert arithmetic.fit(5, widths) == 5 * 2 * (18 + 18 + 12)
    assert arithmetic.guidance(5, widths, 1) == 5 * 2 * (18 + 15)
