"""The gradient planner: relaxed tokens, its objective against whole passes and finite differences, what it climbs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_worlds import assert_close, keys

sys.path.append(str(Path(__file__).parents[1] / "sequence"))
from made_sequences import lively, tiny_model

from orl.errors import UsageError
from orl.planning.base import History
from orl.planning.beam import BeamConfig, make_beam
from orl.planning.gradient import (
    GradientConfig,
    make_gradient,
    relaxed_objective,
    soft_token,
    starting_points,
    straight_through,
)
from orl.planning.rolling import roll
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter

pytestmark = pytest.mark.usefixtures("quick_compiles")

B, H = 2, 2
SIZES = {"horizon": H, "context": 1, "candidates": 3, "bandwidth": 0.05, "iterations": 4}


def model(**changes: Any) -> tuple[SequenceModel, SequenceParams]:
    """A random model with two observation tokens, one action; its action bins lie evenly in [-1, 1]."""
    made = tiny_model(**({"layers": 1} | changes))
    params, bins = lively(made), made.config.bins
    edges = jnp.linspace(-1.0, 1.0, bins + 1)
    found = params.discretiser
    discretiser = found._replace(
        edges=found.edges.at[2].set(edges), centres=found.centres.at[2].set(0.5 * (edges[1:] + edges[:-1]))
    )
    return made, params._replace(discretiser=discretiser)


def past() -> History:
    """Two episodes, the second at its first step."""
    rng = np.random.default_rng(0)
    obs, reward = rng.uniform(0, 8, (B, 1, 2)), rng.uniform(0, 8, (B, 1))
    parts = obs, rng.uniform(-1, 1, (B, 1, 1)), reward, rng.uniform(0, 8, (B, 2))
    return History(*(jnp.asarray(x, jnp.float32) for x in parts), jnp.asarray([1, 0]), jnp.zeros((B, H, 1)))


def actions(seed: int = 0, many: int = 3) -> jax.Array:
    """[B, K, H, 1] in [-1, 1]."""
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (B, many, H, 1)), jnp.float32)


def test_a_soft_token_is_a_gaussian_over_the_bins_in_use() -> None:
    """By hand at 0.1 between centres 0 and 0.5 of bandwidth 0.5: weights as exp(-0.02) : exp(-0.32), none elsewhere."""
    found = soft_token(jnp.asarray([0.1]), jnp.asarray([0.0, 0.5, 0.1]), jnp.asarray([True, True, False]), 0.5)
    ratio = np.exp(-0.02) / (np.exp(-0.02) + np.exp(-0.32))
    np.testing.assert_allclose(found, [[ratio, 1 - ratio, 0.0]], rtol=1e-5)


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    weights = jnp.asarray([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(straight_through(weights), [[0, 1, 0]], atol=1e-7)
    slope = jax.grad(lambda w: jnp.sum(straight_through(w) * jnp.asarray([1.0, 2.0, 4.0])))(weights)
    np.testing.assert_allclose(slope, [[1, 2, 4]])


@pytest.mark.parametrize(("arch", "definition"), [("gpt", "excluding"), ("lstm", "including")])
def test_the_straight_through_objective_is_the_plans_own_score(arch: str, definition: str) -> None:
    """Forward it reads the very tokens that a roll reads: rewards and values of `roll`, likelihood of whole passes."""
    made, params = model(arch=arch, reward_to_go=definition)
    config, a, g = GradientConfig(**SIZES, likelihood_weight=0.5), actions(), made.config.discount
    found = jax.jit(lambda a: relaxed_objective(config, made, params, past(), a))(a)
    rolls, logits = jax.jit(lambda a: roll(made, params, keys(0, 1), past(), H, actions=a)), jax.jit(made.logits)
    for k in range(2):
        rolled = rolls(a[:, k])
        reward, value = rolled.trajectory.reward, rolled.trajectory.value
        score = reward[:, 0] + g * (value[:, 1] if definition == "including" else reward[:, 1] + g * value[:, 1])
        for row in range(B):
            before = [] if row else [whole_past(params)]
            tokens = jnp.concatenate([*before, rolled.tokens[row].reshape(-1)])[None]
            logged = jax.nn.log_softmax(logits(params, tokens))[0]
            first = len(tokens[0]) - H * 5
            likelihood = sum(float(logged[first + 5 * t + 1, tokens[0, first + 5 * t + 2]]) for t in range(H))
            np.testing.assert_allclose(found[row, k], score[row] + 0.5 * likelihood, rtol=1e-4, atol=1e-4)


def whole_past(params: SequenceParams) -> jax.Array:
    """[5] tokens of the first episode's past transition; of its value nobody knows, so the highest."""
    h = past()
    parts = jnp.concatenate([h.obs[0, 0], h.action[0, 0], h.reward[0]])
    return jnp.append(params.discretiser.encode_dims(parts, 0), params.discretiser.counts[-1] - 1)


def test_expected_embeddings_have_the_slope_of_finite_differences() -> None:
    made, params = model()
    config = GradientConfig(**(SIZES | {"bandwidth": 0.3}), relaxation="expected", likelihood_weight=0.3)
    objective = jax.jit(lambda a: relaxed_objective(config, made, params, past(), a))
    a, width = actions(), 5e-3
    slope = jax.jit(jax.grad(lambda a: jnp.sum(objective(a))))(a)
    assert np.abs(slope).max() > 0.1
    for place in ((0, 0, 0, 0), (0, 2, 1, 0), (1, 1, 0, 0)):
        measured = (objective(a.at[place].add(width)) - objective(a.at[place].add(-width)))[place[:2]] / (2 * width)
        np.testing.assert_allclose(slope[place], measured, rtol=0.03, atol=0.02)


def test_straight_through_has_a_slope_where_its_value_has_steps() -> None:
    made, params = model()
    config = GradientConfig(**(SIZES | {"bandwidth": 0.3}))
    slope = jax.jit(jax.grad(lambda a: jnp.sum(relaxed_objective(config, made, params, past(), a))))(actions())
    assert np.isfinite(slope).all()
    assert (np.abs(slope) > 1e-4).mean() > 0.8


CLIMB = GradientConfig(
    **(SIZES | {"iterations": 8, "bandwidth": 0.3}),
    relaxation="expected",
    learning_rate=0.1,
    likelihood_weight=10.0,
    start="sample",
)


@pytest.fixture(scope="module")
def climb(quick_compiles: None) -> Any:
    """(plan(keys, history), objective(actions) at likelihood weights 10 and 0, starts(keys)), compiled once."""
    made, params = model()
    weights = [replace(CLIMB, likelihood_weight=w) for w in (10.0, 0.0)]
    plan = jax.jit(make_gradient(CLIMB, made))
    objectives = [jax.jit(lambda a, c=c: relaxed_objective(c, made, params, past(), a)) for c in weights]
    starts = jax.jit(lambda keys: starting_points(CLIMB, made, params, keys, past()))
    return lambda keys, history: plan(params, keys, history), objectives, starts


def test_a_plan_is_better_than_its_starts_and_says_what_it_is_worth(climb: Any) -> None:
    """Its value is the objective of its own actions; it is likelier than what it started from, as likelihood weighs."""
    plan, (objective, bare), starts = climb
    out, begun = plan(keys(3, 4), past()), starts(keys(3, 4))
    assert (out.value > objective(begun).max(axis=1) + 0.01).any()
    assert (out.value >= objective(begun).max(axis=1) - 1e-3).all()
    own = jnp.tile(out.trajectory.action[:, None], (1, 3, 1, 1))
    np.testing.assert_allclose(out.value, objective(own)[:, 0], rtol=1e-3)
    likelihood = [float(jnp.mean(objective(a) - bare(a))) / 10 for a in (own, begun)]
    assert likelihood[0] > likelihood[1] + 0.1
    np.testing.assert_array_equal(out.action, out.trajectory.action[:, 0])
    assert np.abs(out.trajectory.action).max() <= 1.0
    np.testing.assert_allclose(out.trajectory.obs[:, 0], past().now)


def test_an_episodes_plan_is_its_own(climb: Any) -> None:
    """In whatever row, with whomever, it is the same for the same key; another key begins elsewhere."""
    plan, _, starts = climb
    first = plan(keys(5, 6), past())
    turned = plan(keys(6, 7), jax.tree.map(lambda x: x[::-1], past()))
    assert_close(jax.tree.map(lambda x: x[1], first), jax.tree.map(lambda x: x[0], turned))
    one, other = starts(keys(5, 6)), starts(keys(8, 6))
    np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(one[0], other[0])


def test_it_starts_from_a_beam_or_from_samples() -> None:
    """From the beam's best plan, or from the rolls that the behaviour's draws give."""
    made, params = model()
    config = GradientConfig(**SIZES, beam=4)
    found = jax.jit(lambda: starting_points(config, made, params, keys(1, 2), past()))()
    beam = jax.jit(make_beam(BeamConfig(beam=4, horizon=H, context=1), made))(params, keys(1, 2), past())
    np.testing.assert_allclose(found, beam.trajectory.action[:, None])
    config = GradientConfig(**SIZES, start="sample")
    found = jax.jit(lambda: starting_points(config, made, params, keys(1, 2), past()))()
    each = jax.vmap(lambda key: jax.random.split(key, 3))(keys(1, 2)).reshape(-1)
    rows = jax.tree.map(lambda x: jnp.repeat(x, 3, axis=0), past())
    drawn = jax.jit(lambda: roll(made, params, each, rows, H, action_keep=Filter(cdf=0.6)).trajectory.action)()
    np.testing.assert_allclose(found, drawn.reshape(B, 3, H, 1))
    assert np.ptp(found, axis=1).max() > 0.1


def test_what_does_not_fit_the_window_is_refused() -> None:
    with pytest.raises(UsageError, match=r"plan\.context 2 and plan\.horizon 2 do not fit the model's window of 3"):
        make_gradient(GradientConfig(horizon=2, context=2), tiny_model())
