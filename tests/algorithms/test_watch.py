"""Every algorithm's epoch says which tensor was the first not to be finite, and at which update."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_problem import LOGGED, data_for, make, schedule_for, start_states

from orl.algorithms import ALGORITHMS
from orl.algorithms.epoch import make_epoch, update_marks
from orl.finite import tell
from orl.runs.seeds import epoch_keys, over_seeds, seed_keys

pytestmark = pytest.mark.usefixtures("quick_compiles")
UPDATES, SEEDS, EPOCH = 6, (0, 3), 2


class Case:
    """An algorithm's compiled epoch of two seeds."""

    def __init__(self, name: str) -> None:
        self.name, self.algorithm = name, make(name)
        self.schedule, self.data = schedule_for(self.algorithm, UPDATES), data_for(self.algorithm)
        self.epoch = over_seeds(make_epoch(self.algorithm, self.schedule), len(SEEDS), "vmap")

    def run(self, change=lambda state: state, data=None):
        """What the epoch finds not to be finite, from a start that `change` altered."""
        state = change(start_states(self.algorithm, self.schedule, SEEDS))
        return tell(self.epoch(state, epoch_keys(seed_keys(SEEDS), EPOCH), data or self.data)[2])


QUICK = ("bc", "cql", "rebrac", "mopo", "mobrac")  # the others take longer to compile
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS]
WITHOUT_MODEL = [name for name, entry in ALGORITHMS.items() if not entry.needs_model]
case_of = functools.cache(Case)


def first_draw(algorithm, row: int, seed: int) -> int:
    """The first update whose batch holds the logged row, by the keys that an epoch splits."""
    key = epoch_keys(seed_keys((seed,)), EPOCH)[0]
    update_key = jax.random.split(key)[1]
    for number, each in enumerate(jax.random.split(update_key, UPDATES)):
        drawn = jax.random.randint(jax.random.split(each, 3)[0], (algorithm.real_rows,), 0, LOGGED)
        if row in np.asarray(drawn):
            return number
    return UPDATES


@pytest.mark.parametrize("name", EVERY)
def test_a_healthy_epoch_says_nothing(name):
    assert case_of(name).run() is None


@pytest.mark.parametrize("name", EVERY)
def test_a_poisoned_parameter_is_named_with_its_seed_before_any_update(name):
    def poison(state):
        kernel = state.agent.policy.actor["params"]["MLP_0"]["Dense_0"]["kernel"]
        broken = jax.tree.map(lambda x: x.at[1, 2, 3].set(jnp.nan) if x is kernel else x, state.agent)
        return state._replace(agent=broken)

    assert case_of(name).run(poison) == (1, -1, "actor/Dense_0/kernel")


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_a_planted_row_is_noticed_in_the_first_update_that_draws_it(name):
    """Its reward, or in cloning its action, is more than float32 can square; it is not in the first batches."""
    case = case_of(name)
    draws = np.array([[first_draw(case.algorithm, row, seed) for row in range(LOGGED)] for seed in SEEDS])
    row = int(np.argmax(np.where(draws.min(axis=0) < UPDATES, draws.min(axis=0), 0)))
    seed, update = int(draws[:, row].argmin()), int(draws[:, row].min())
    assert 0 < update < UPDATES
    planted, logged = jnp.where(jnp.arange(LOGGED) == row, 1e38, 0.0), case.data.logged
    if name == "bc":
        logged, tensor = logged._replace(action=logged.action + planted[:, None]), "actor_loss"
    else:
        logged, tensor = logged._replace(reward=logged.reward + planted), "critic_loss"
    assert case.run(data=case.data._replace(logged=logged)) == (seed, update, tensor)


@pytest.mark.parametrize("name", [each for each in EVERY if each != "bc"])
def test_rewards_beyond_squares_make_the_critics_loss_the_first(name):
    """The actor's loss follows from the critics', and is not named."""
    case = case_of(name)
    logged = case.data.logged._replace(reward=jnp.full_like(case.data.logged.reward, 1e38))
    assert case.run(data=case.data._replace(logged=logged)) == (0, 0, "critic_loss")


@pytest.mark.parametrize("name", [each for each in EVERY if each not in WITHOUT_MODEL])
def test_a_model_that_predicts_no_numbers_is_named_by_its_rollout(name):
    case = case_of(name)
    params = getattr(case.data.world, "model", case.data.world)
    broken = params._replace(targets=params.targets._replace(std=params.targets.std * jnp.nan))
    world = case.data.world._replace(model=broken) if hasattr(case.data.world, "model") else broken
    # where MOReL cannot tell, it halts: its reward is HALT's, a number
    assert case.run(data=case.data._replace(world=world)) == (
        0,
        0,
        "discrepancy" if name == "morel" else "rollout_reward",
    )


def test_marks_come_in_the_order_of_the_computation():
    metrics = {"critic_loss": jnp.zeros(()), "q": jnp.zeros(()), "actor_loss": jnp.zeros(()), "alpha": jnp.zeros(())}
    state = start_states(make("cql"), schedule_for(make("cql"), 1), (0,)).agent
    names = update_marks(metrics, state).names
    assert names.index("critic_loss") < names.index("gradient of critic/Dense_0/kernel") < names.index("actor_loss")
    assert names.index("actor_loss") < names.index("gradient of actor/Dense_1/bias")
    assert names.index("gradient of critic/Dense_1/bias") < names.index("alpha")
