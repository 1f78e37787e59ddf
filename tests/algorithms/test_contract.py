"""What every line of ALGORITHMS promises; a new algorithm is covered by being in the table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_problem import ACTIONS, LOGGED, NORMALISER, OBS, TINY, batch_for, data_for, make, world_for

from orl.agents.config import CriticConfig
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Problem
from orl.mdp.rollout import rollout
from orl.runs.checkpoints import Checkpoints, read_latest

pytestmark = pytest.mark.usefixtures("quick_compiles")


@pytest.fixture(scope="module", params=ALGORITHMS)
def case(request, quick_compiles):
    """An algorithm, a start, a batch, and the result of one jitted update."""
    algorithm = make(request.param)
    state, batch = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER), batch_for(algorithm)
    update, world = jax.jit(algorithm.update), world_for(algorithm)
    after, metrics = update(jax.random.key(1), state, batch, world)
    return SimpleNamespace(
        name=request.param,
        algorithm=algorithm,
        state=state,
        batch=batch,
        world=world,
        update=update,
        after=after,
        metrics=metrics,
        samples=issubclass(ALGORITHMS[request.param].config, CriticConfig),
    )


def assert_same(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, **({"atol": 0} | tolerance))


def differ(a, b):
    return any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_update_without_jit_is_the_same_function(case):
    """No reliance on tracing, no hidden Python state."""
    plain, metrics = case.algorithm.update(jax.random.key(1), case.state, case.batch, case.world)
    assert_same(plain, case.after, atol=1e-5)
    assert plain._fields == case.after._fields
    for name, value in metrics.items():
        assert float(value) == pytest.approx(float(case.metrics[name]), abs=1e-4), name


def test_update_is_a_function_of_its_key(case):
    again, _ = case.update(jax.random.key(1), case.state, case.batch, case.world)
    assert_same(again, case.after)
    other, _ = case.update(jax.random.key(2), case.state, case.batch, case.world)
    assert differ(other, case.after) == case.samples  # behaviour cloning draws nothing


def test_start_is_a_function_of_its_key(case):
    init = jax.jit(case.algorithm.init)
    assert_same(init(jax.random.key(0), NORMALISER), case.state)
    assert differ(case.algorithm.policy(init(jax.random.key(1), NORMALISER)), case.algorithm.policy(case.state))


def test_metrics_are_finite_scalars(case):
    assert case.metrics
    for name, value in case.metrics.items():
        assert value.shape == (), name
        assert np.isfinite(value), name


def test_state_keeps_its_shapes_and_types(case):
    """A scan over updates carries it; a changed dtype would compile twice or fail."""

    def describe(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    assert describe(case.after) == describe(case.state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(case.after))


def test_every_learned_part_moves(case):
    """Nothing is frozen by a stray stop_gradient; the normaliser is."""
    before, after = case.algorithm.policy(case.state), case.algorithm.policy(case.after)
    for old, new in zip(jax.tree.leaves(before.actor), jax.tree.leaves(after.actor), strict=True):
        assert not np.array_equal(old, new)
    assert_same(before.normaliser, after.normaliser)
    if case.samples:
        for part in ("critic", "target_critic"):
            kernels = zip(*(jax.tree.leaves(getattr(s, part)) for s in (case.state, case.after)), strict=True)
            for old, new in kernels:
                assert all(not np.array_equal(o, n) for o, n in zip(old, new, strict=True))  # each critic of the stack
    for old, new in zip(
        *(jax.tree.leaves(getattr(s, "target_actor", ())) for s in (case.state, case.after)), strict=True
    ):
        assert not np.array_equal(old, new)
    if "log_alpha" in case.state._fields:
        assert float(case.after.log_alpha) != float(case.state.log_alpha)


def test_policy_acts_in_the_box_and_without_a_key_always_the_same(case):
    params, obs = case.algorithm.policy(case.after), 3.0 * jax.random.normal(jax.random.key(3), (20, OBS))
    act = jax.jit(case.algorithm.act)
    mode = act(params, None, obs)
    assert mode.shape == (20, ACTIONS)
    assert np.abs(mode).max() <= 1.0
    assert_same(mode, act(params, None, obs))
    drawn = act(params, jax.random.key(4), obs)
    assert np.abs(drawn).max() <= 1.0
    assert differ(drawn, mode)
    assert differ(drawn, act(params, jax.random.key(5), obs))
    assert_same(drawn, act(params, jax.random.key(4), obs))


def test_rows_add_up_to_the_batch(case):
    algorithm = case.algorithm
    assert algorithm.real_rows + algorithm.model_rows == TINY["batch_size"]
    assert algorithm.model_rows or not algorithm.model_next
    if ALGORITHMS[case.name].needs_model:
        assert algorithm.real_rows == TINY["batch_size"] * TINY["real_ratio"]
    else:
        assert algorithm.model_rows == 0
        assert algorithm.step is None


@pytest.mark.parametrize(("ratio", "real"), [(0.05, 12), (0.8, 204), (1.0, 256)])
def test_share_of_logged_rows_is_rounded_down_as_in_the_papers(ratio, real):
    """int(256 * 0.05) = 12 in the official MOPO."""
    algorithm = make("mopo", batch_size=256, real_ratio=ratio)
    assert (algorithm.real_rows, algorithm.model_rows) == (real, 256 - real)


@pytest.mark.parametrize("name", ["combo", "mobile", "mobrac"])
def test_model_rows_of_a_real_ratio_of_one_are_none(name):
    algorithm = make(name, real_ratio=1.0)
    assert algorithm.model_rows == 0
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
    _, metrics = jax.jit(algorithm.update)(jax.random.key(1), state, batch_for(algorithm), world_for(algorithm))
    assert all(np.isfinite(value) for value in metrics.values())


def test_state_is_restored_exactly_from_a_checkpoint(case, tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "state")
    policy = case.algorithm.policy(case.after)
    checkpoints.save(3, {"state": case.after, "policy": policy})
    checkpoints.close()
    step, items = read_latest(tmp_path / "state", state=case.state, policy=case.algorithm.policy(case.state))
    assert step == 3
    assert jax.tree.structure(items["state"]) == jax.tree.structure(case.after)
    assert_same(items["state"], case.after)
    assert_same(items["policy"], policy)
    again = case.update(jax.random.key(2), items["state"], case.batch, case.world)
    assert_same(again, case.update(jax.random.key(2), case.after, case.batch, case.world))


def test_model_based_algorithms_roll_out(case):
    """Shapes and types of the step, its world made once from the log, and what is logged of a rollout."""
    algorithm = case.algorithm
    if algorithm.step is None:
        assert not ALGORITHMS[case.name].needs_model
        return
    data = data_for(algorithm)
    policy = algorithm.policy(case.after)
    result = jax.jit(
        lambda world, policy, key, start: rollout(algorithm.step, algorithm.rollout_act, world, policy, key, start, 3)
    )(data.world, policy, jax.random.key(0), data.starts)
    assert result.steps.obs.shape == result.steps.next_obs.shape == (3, LOGGED, OBS)
    assert result.steps.reward.shape == result.uncertainty.shape == result.alive.shape == (3, LOGGED)
    assert result.alive.dtype == bool
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
    assert np.abs(result.steps.action).max() <= 1.0
    for name, value in algorithm.rollout_metrics(data.world, result).items():
        assert value.shape == (), name
        assert np.isfinite(value), name


@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if entry.needs_model])
def test_no_model_is_an_error_where_one_is_needed(name):
    entry = ALGORITHMS[name]
    with pytest.raises(ValueError, match="needs a dynamics model"):
        entry.build(entry.config(), Problem(OBS, ACTIONS, 10))


def test_every_line_says_what_it_is():
    for name, entry in ALGORITHMS.items():
        assert name == name.lower()
        assert entry.summary
        assert entry.config.__doc__


def test_uniform_rollouts_of_combo_ignore_the_policy():
    algorithm = make("combo", rollout_policy="uniform")
    action = algorithm.rollout_act((), jax.random.key(0), jnp.zeros((5000, OBS)))
    assert np.asarray(action).var() == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("rho", ["model", "mixture"])
def test_combo_pushes_down_at_the_states_it_is_told(rho):
    """With NaN in the logged next observations only the mixture notices them."""
    algorithm = make("combo", rho=rho, conservative_weight=1.0, discount=0.5)
    state = jax.jit(algorithm.init)(jax.random.key(0), NORMALISER)
    batch = batch_for(algorithm)
    real = batch.real._replace(next_obs=jnp.full_like(batch.real.next_obs, jnp.nan))
    _, metrics = jax.jit(algorithm.update)(jax.random.key(1), state, batch._replace(real=real), world_for(algorithm))
    assert bool(np.isnan(metrics["conservative_gap"])) == (rho == "mixture")


def test_a_state_begins_at_the_policy_it_adopts(case):
    """The mode is the given policy's everywhere; nothing else of the state but its targets of the actor is another."""
    given = case.algorithm.policy(jax.jit(case.algorithm.init)(jax.random.key(8), NORMALISER))
    given = given._replace(normaliser=jax.tree.map(lambda x: x + 0.25, given.normaliser))
    state = case.algorithm.adopt(case.state, given)
    obs = jax.random.normal(jax.random.key(3), (20, OBS))
    mode, want = (case.algorithm.act(params, None, obs) for params in (case.algorithm.policy(state), given))
    np.testing.assert_array_equal(mode, want)
    others = [name for name in case.state._fields if name not in ("policy", "target_actor")]
    assert_same([getattr(state, name) for name in others], [getattr(case.state, name) for name in others])
