"""Beam search under the density model: for reward, or for likelihood.

Reference: Trajectory Transformer, arXiv:2106.02039 (its planning algorithm and the reference code's beam).

Sliding rule. The model sees `window` transitions. A plan starts from `context` past ones, and when the window is full
the last `context` transitions of each beam (one at least) are read anew from its beginning; so a token is always
predicted from between `context` and `window` - 1 whole transitions and the running one, exactly as a model without a
cache would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from pydantic import Field

from orl.errors import UsageError
from orl.planning.base import History, Plan, PlanFn, Trajectory, check_plan_freq
from orl.planning.reading import Reader, adopt, feed, fork, history_tokens, open_reader, read_on, read_outcome
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter, fold_in
from orl.types import Array

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class BeamConfig:
    """Settings of the beam; defaults of the reference code.

    Attributes:
        beam: beams kept. n_expand: children a beam. horizon: steps planned. context: past transitions read.
        plan_freq: steps acted before planning again.
        k_obs, k_act: most likely tokens kept (0 all, 1 greedy). cdf_act: mass of unlikely action tokens dropped.
        temperature: of the action tokens.
        objective: "reward", or "likelihood": the most likely continuation, which imitates.
        outcome: score "expected" rewards and values, or "sampled" ones.
    """

    beam: Positive = 128
    n_expand: Positive = 2
    horizon: Positive = 15
    context: Annotated[int, Field(ge=0)] = 5
    plan_freq: Positive = 1
    k_obs: Annotated[int, Field(ge=0)] = 1
    k_act: Annotated[int, Field(ge=0)] = 0
    cdf_act: Annotated[float, Field(ge=0, lt=1)] = 0.6
    temperature: Annotated[float, Field(gt=0)] = 1.0
    objective: Literal["reward", "likelihood"] = "reward"
    outcome: Literal["expected", "sampled"] = "expected"

    def __post_init__(self) -> None:
        check_plan_freq(self.plan_freq, self.horizon)


class Beams(NamedTuple):
    """Plans so far: tokens [B, K, H, D], reward and value [B, K, H], score [B, K]; later steps are still zero.

    log_prob: [B, K] of all their tokens that the model drew.
    """

    tokens: Array
    reward: Array
    value: Array
    score: Array
    log_prob: Array


def check_context(context: int, window: int) -> None:
    """UsageError where the past leaves no room for a step."""
    if context >= window:
        raise UsageError(
            f"plan.context is {context}, but the model's window is {window} transitions: at most {window - 1} are past"
        )


def discounted_score(reward: Array, value: Array, step: Array | int, discount: float, *, including: bool) -> Array:
    """[...] return that plans promise at `step`, from rewards and values [..., H] of which those up to it are known.

    sum_{k<=h} g^k r_k + g^{h+1} V_h where V_h excludes r_h (the reference code), or, where it includes r_h (the
    paper's definition), sum_{k<h} g^k r_k + g^h V_h. Both are the same number when V is exact.
    """
    steps = jnp.arange(reward.shape[-1])
    known = steps < step if including else steps <= step
    total = jnp.sum(jnp.where(known, discount**steps * reward, 0.0), axis=-1)
    ahead = discount ** (step + (0 if including else 1))
    return total + ahead * jnp.take(value, step, axis=-1)


def make_beam(config: BeamConfig, model: SequenceModel) -> PlanFn:
    """The beam search over a sequence model, as a planner."""
    check_context(config.context, model.config.window)
    kept = max(config.context, 1)
    first_segment, segment = min(model.config.window - config.context, config.horizon), model.config.window - kept
    whole, rest = divmod(config.horizon - first_segment, segment)

    def plan(params: SequenceParams, keys: Array, history: History) -> Plan:
        past, now = history_tokens(model, params, history)
        beams = _no_beams(model, config, now)
        reader = open_reader(model, params, past, now, history.length)
        beams = _segment(model, config, params, keys, beams, reader, jnp.asarray(0), first_segment, True)

        def further(beams: Beams, first: Array, steps: int) -> Beams:
            rows, length = _last_transitions(past, beams, history.length, first, kept)
            reader = open_reader(model, params, rows, None, length)
            reader = reader._replace(log_prob=beams.log_prob.reshape(-1))
            return _segment(model, config, params, keys, beams, reader, first, steps, False)

        if whole:
            starts = first_segment + segment * jnp.arange(whole)
            beams, _ = jax.lax.scan(lambda beams, first: (further(beams, first, segment), None), beams, starts)
        if rest:
            beams = further(beams, jnp.asarray(config.horizon - rest), rest)
        return _best(model, params, history, beams)

    return plan


def _no_beams(model: SequenceModel, config: BeamConfig, now: Array) -> Beams:
    shape = (now.shape[0], config.beam, config.horizon)
    tokens = jnp.zeros((*shape, model.layout.dims), jnp.int32).at[:, :, 0, : model.obs_dim].set(now[:, None])
    steps, plans = jnp.zeros(shape), jnp.zeros(shape[:2])
    return Beams(tokens, steps, steps, plans, plans)


def _segment(
    model: SequenceModel,
    config: BeamConfig,
    params: SequenceParams,
    keys: Array,
    beams: Beams,
    reader: Reader,
    first: Array,
    steps: int,
    observed: bool,
) -> Beams:
    """Plan `steps` steps from step `first` on; `observed` says that the first one's observation has been read."""
    batch, width = beams.score.shape
    for index in range(steps):
        step = first + index
        step_keys = fold_in(keys, step)
        if index or not observed:
            # the token before is the last transition's value: read in this segment, or the end of its context
            value = beams.tokens[:, :, step - 1, -1].reshape(-1) if index else None
            reader, obs = _observe(model, config, params, reader, step_keys, value)
            tokens = beams.tokens.at[:, :, step, : model.obs_dim].set(obs.reshape(batch, width, -1))
            beams = beams._replace(tokens=tokens)
        reader, beams = _act(model, config, params, reader, step_keys, beams, step)
    return beams


def _observe(
    model: SequenceModel,
    config: BeamConfig,
    params: SequenceParams,
    reader: Reader,
    keys: Array,
    value: Array | None,
) -> tuple[Reader, Array]:
    """Read the last value token, where it is not read yet, and the next observation; its tokens [R, O]."""
    reader = fork(model, reader, 1, model.obs_dim + (value is not None))
    if value is not None:
        reader = feed(model, params, reader, value)
    return read_on(model, params, reader, keys, 0, model.obs_dim, Filter(top_k=config.k_obs))


def _act(
    model: SequenceModel,
    config: BeamConfig,
    params: SequenceParams,
    reader: Reader,
    keys: Array,
    beams: Beams,
    step: Array,
) -> tuple[Reader, Beams]:
    """Expand every beam by one action and its outcome, and keep the best."""
    batch, width = beams.score.shape
    children = width * config.n_expand
    times = batch * children // reader.hidden.shape[0]  # at the very first step the rows are not beams yet
    keep = Filter(config.k_act, config.cdf_act, config.temperature)
    reader = fork(model, reader, times, model.action_dim + 1)
    reader, action = read_on(model, params, reader, keys, model.layout.first_action, model.action_dim, keep)
    reader, outcome = read_outcome(model, params, reader, keys, sampled=config.outcome == "sampled")

    def grown(old: Array, new: Array) -> Array:
        return jnp.repeat(old, config.n_expand, axis=1).at[:, :, step].set(new.reshape(batch, children))

    reward, value = grown(beams.reward, outcome.reward), grown(beams.value, outcome.value)
    including = model.config.reward_to_go == "including"
    score = discounted_score(reward, value, step, model.config.discount, including=including)
    if config.objective == "likelihood":
        score = reader.log_prob.reshape(batch, children)
    tokens = jnp.concatenate([action, outcome.tokens], axis=-1).reshape(batch, children, -1)
    return _keep(model, config, reader, beams, tokens, reward, value, score, step)


def _keep(
    model: SequenceModel,
    config: BeamConfig,
    reader: Reader,
    beams: Beams,
    tokens: Array,
    reward: Array,
    value: Array,
    score: Array,
    step: Array,
) -> tuple[Reader, Beams]:
    """The best `beam` of the children, with their parents' tokens before their own."""
    best, chosen = jax.lax.top_k(score, config.beam)  # [B, K]

    def take(x: Array) -> Array:
        return jax.vmap(lambda rows, index: rows[index])(x, chosen)

    parents = jax.vmap(lambda rows, index: rows[index])(beams.tokens, chosen // config.n_expand)
    all_tokens = parents.at[:, :, step, model.layout.first_action :].set(take(tokens))
    offset = score.shape[1] * jnp.arange(score.shape[0])[:, None]
    reader = adopt(model, reader, (chosen + offset).reshape(-1))
    return reader, Beams(all_tokens, take(reward), take(value), best, reader.log_prob.reshape(best.shape))


def _last_transitions(past: Array, beams: Beams, length: Array, first: Array, kept: int) -> tuple[Array, Array]:
    """The `kept` transitions before step `first` of every beam, [B*K, kept, D], and how many are there [B*K]."""
    batch, width = beams.score.shape
    whole = jnp.concatenate([jnp.repeat(past[:, None], width, axis=1), beams.tokens], axis=2)
    rows = jax.lax.dynamic_slice_in_dim(whole, past.shape[1] + first - kept, kept, axis=2)
    there = jnp.minimum(length + first, kept)
    return rows.reshape(batch * width, kept, -1), jnp.repeat(there, width)


def _best(model: SequenceModel, params: SequenceParams, history: History, beams: Beams) -> Plan:
    best = jnp.argmax(beams.score, axis=1)
    tokens, reward, value, score, _ = jax.tree.map(lambda x: x[jnp.arange(x.shape[0]), best], beams)
    layout = model.layout
    obs = params.discretiser.decode_dims(tokens[..., : layout.obs_dim], 0)
    action = params.discretiser.decode_dims(tokens[..., layout.first_action : layout.reward], layout.first_action)
    action = jnp.clip(action, -1.0, 1.0)
    return Plan(action[:, 0], Trajectory(obs.at[:, 0].set(history.now), action, reward, value), score)
