"""Planning by gradient: actions ascend the return that the density model predicts, and their likelihood under it.

A plan's actions are continuous numbers; each enters the model as a relaxed token, a mixture of the tokens nearby, and
so do the observations and rewards that the model answers with. So the whole prediction is differentiable in the plan.
Straight-through embeddings (arXiv:1308.3432) go forward as the single most likely token and backward as the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
from pydantic import Field

from orl.errors import UsageError
from orl.planning.base import History, Plan, PlanFn, check_plan_freq
from orl.planning.beam import BeamConfig, check_context, discounted_score, make_beam
from orl.planning.reading import Reader, feed, fork, history_tokens, open_reader
from orl.planning.rolling import roll
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter
from orl.types import Array

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class GradientConfig:
    """Settings of the gradient planner. None of them is a paper's.

    Attributes:
        horizon: steps planned. context: past transitions read. Together they must fit the model's window.
        plan_freq: steps acted before planning again.
        iterations: ascents. learning_rate: of Adam, on actions in [-1, 1].
        likelihood_weight: reward units a nat of the actions' log-probability is worth.
        relaxation: "straight_through", or "expected" embeddings forward too.
        bandwidth: std of the mixture around an action, in units of actions.
        start: "beam", the best plan of a beam search, or "sample", `candidates` plans drawn from the behaviour.
        candidates: plans that ascend side by side, with "sample".
        beam, n_expand: beams and children of the search, with "beam".
        cdf_act: mass of unlikely action tokens dropped in drawing either.
    """

    horizon: Positive = 5
    context: Annotated[int, Field(ge=0)] = 5
    plan_freq: Positive = 1
    iterations: Annotated[int, Field(ge=0)] = 10
    learning_rate: Rate = 0.05
    likelihood_weight: Annotated[float, Field(ge=0)] = 1.0
    relaxation: Literal["straight_through", "expected"] = "straight_through"
    bandwidth: Rate = 0.1
    start: Literal["beam", "sample"] = "beam"
    candidates: Positive = 16
    beam: Positive = 32
    n_expand: Positive = 2
    cdf_act: Annotated[float, Field(ge=0, lt=1)] = 0.6

    def __post_init__(self) -> None:
        check_plan_freq(self.plan_freq, self.horizon)


def make_gradient(config: GradientConfig, model: SequenceModel) -> PlanFn:
    """The gradient planner over a sequence model.

    The plan is the best, by the objective, of its starting points and of what they became.

    Raises:
        UsageError: past and plan do not fit the model's window.
    """
    check_context(config.context, model.config.window)
    if config.context + config.horizon > model.config.window:
        raise UsageError(
            f"plan.context {config.context} and plan.horizon {config.horizon} do not fit the model's window of"
            f" {model.config.window} transitions, within which this planner must stay"
        )
    optimiser = optax.adam(config.learning_rate)

    def plan(params: SequenceParams, keys: Array, history: History) -> Plan:
        start = starting_points(config, model, params, keys, history)  # [B, K, H, A]

        def objective(actions: Array) -> Array:
            return relaxed_objective(config, model, params, history, actions)

        def ascend(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple[Array, optax.OptState], None]:
            actions, state = carry
            slope = jax.grad(lambda x: jnp.sum(objective(x)))(actions)
            change, state = optimiser.update(-slope, state)
            return (jnp.clip(optax.apply_updates(actions, change), -1.0, 1.0), state), None

        (ended, _), _ = jax.lax.scan(ascend, (start, optimiser.init(start)), length=config.iterations)
        every = jnp.concatenate([start, ended], axis=1)
        worth = objective(every)
        best = jnp.argmax(jnp.where(jnp.isfinite(worth), worth, -jnp.inf), axis=1)
        rows = jnp.arange(best.shape[0])
        actions = every[rows, best]
        expected = roll(model, params, keys, history, config.horizon, actions=actions).trajectory
        return Plan(actions[:, 0], expected._replace(action=actions), worth[rows, best])

    return plan


def starting_points(
    config: GradientConfig, model: SequenceModel, params: SequenceParams, keys: Array, history: History
) -> Array:
    """[B, K, H, A] actions to ascend from."""
    if config.start == "beam":
        settings = BeamConfig(
            beam=config.beam,
            n_expand=config.n_expand,
            horizon=config.horizon,
            context=config.context,
            cdf_act=config.cdf_act,
        )
        return make_beam(settings, model)(params, keys, history).trajectory.action[:, None]
    batch, many = keys.shape[0], config.candidates
    each = jax.vmap(lambda key: jax.random.split(key, many))(keys).reshape(-1)
    rows = jax.tree.map(lambda x: jnp.repeat(x, many, axis=0), history)
    drawn = roll(model, params, each, rows, config.horizon, action_keep=Filter(cdf=config.cdf_act))
    return drawn.trajectory.action.reshape(batch, many, config.horizon, -1)


def relaxed_objective(
    config: GradientConfig, model: SequenceModel, params: SequenceParams, history: History, actions: Array
) -> Array:
    """[B, K] predicted discounted return of actions [B, K, H, A] plus `likelihood_weight` times their log-probability.

    Differentiable in the actions. With straight-through embeddings its value is that of the plan's tokens.
    """
    batch, many, horizon, _ = actions.shape
    layout, centres = model.layout, params.discretiser.centres
    past, now = history_tokens(model, params, history)
    reader = open_reader(model, params, past, now, history.length)
    reader = fork(model, reader, many, horizon * layout.dims)
    plans = actions.reshape(batch * many, horizon, -1)

    def relax(weights: Array) -> Array:
        return straight_through(weights) if config.relaxation == "straight_through" else weights

    def act(reader: Reader, action: Array) -> tuple[Reader, tuple[Array, Array, Array]]:
        likelihood = jnp.zeros(reader.hidden.shape[0])
        for index in range(layout.action_dim):
            dim = layout.first_action + index
            in_use = params.discretiser.in_use()[dim]
            token = relax(soft_token(action[:, index], centres[dim], in_use, config.bandwidth))
            logged = jnp.where(in_use, jax.nn.log_softmax(model.next_logits(params, reader.hidden, dim)), 0.0)
            likelihood += jnp.sum(token * logged, axis=-1)
            reader = feed(model, params, reader, token)
        outcome = []
        for dim in (layout.reward, layout.value):
            probs = jax.nn.softmax(model.next_logits(params, reader.hidden, dim))
            outcome.append(probs @ centres[dim])
            reader = feed(model, params, reader, relax(probs))
        return reader, (*outcome, likelihood)  # type: ignore[return-value]

    def observe(reader: Reader, dim: Array) -> tuple[Reader, None]:
        probs = jax.nn.softmax(model.next_logits(params, reader.hidden, dim))
        return feed(model, params, reader, relax(probs)), None

    def step(reader: Reader, action: Array) -> tuple[Reader, tuple[Array, Array, Array]]:
        reader, outcome = act(reader, action)
        reader, _ = jax.lax.scan(observe, reader, jnp.arange(layout.obs_dim))
        return reader, outcome

    reader, seen = jax.lax.scan(step, reader, plans[:, :-1].swapaxes(0, 1))
    _, last = act(reader, plans[:, -1])
    reward, value, likelihood = (jnp.vstack([x, y[None]]).T for x, y in zip(seen, last, strict=True))
    including = model.config.reward_to_go == "including"
    score = discounted_score(reward, value, horizon - 1, model.config.discount, including=including)
    return (score + config.likelihood_weight * jnp.sum(likelihood, axis=1)).reshape(batch, many)


def soft_token(x: Array, centres: Array, in_use: Array, bandwidth: float) -> Array:
    """Weights [R, V] of the bins with `centres` [V] for numbers x [R]: a Gaussian of std `bandwidth` around each."""
    logits = -0.5 * ((x[:, None] - centres) / bandwidth) ** 2
    return jax.nn.softmax(jnp.where(in_use, logits, -jnp.inf))


def straight_through(weights: Array) -> Array:
    """The most likely token, one-hot [R, V], with the gradient of `weights` [R, V]."""
    hard = jax.nn.one_hot(jnp.argmax(weights, axis=-1), weights.shape[-1], dtype=weights.dtype)
    return weights + jax.lax.stop_gradient(hard - weights)
