"""Monte Carlo tree search under the density model, by the library mctx (its MuZero policy, arXiv:1911.08265).

Every node draws its actions from the model, as Sampled MuZero (arXiv:2104.06303) draws them from its policy. Departs:
priors are the model's own probabilities of the distinct actions drawn, renormalised, where Sampled MuZero takes their
frequencies. A node remembers its tokens, not their keys and values: it reads its last `window` - 1 transitions anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import mctx
from pydantic import Field

from orl.planning.base import History, Plan, PlanFn, check_plan_freq
from orl.planning.beam import check_context
from orl.planning.reading import feed, fork, history_tokens, open_reader, read_given, read_on, read_outcome
from orl.planning.rolling import decode
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.sampling import Filter, fold_in
from orl.types import Array

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class MctsConfig:
    """Settings of the search.

    Attributes:
        simulations: nodes added to the tree. actions: drawn at every node. horizon: depth at most.
        context: past transitions read. plan_freq: steps acted before planning again.
        k_obs, k_act: most likely tokens kept (0 all, 1 greedy). cdf_act: mass of unlikely action tokens dropped.
        temperature: of the action tokens.
        pb_c_init, pb_c_base: of the search rule, MuZero's values by default.
    """

    simulations: Positive = 64
    actions: Positive = 16
    horizon: Positive = 15
    context: Annotated[int, Field(ge=0)] = 5
    plan_freq: Positive = 1
    k_obs: Annotated[int, Field(ge=0)] = 1
    k_act: Annotated[int, Field(ge=0)] = 0
    cdf_act: Annotated[float, Field(ge=0, lt=1)] = 0.0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    pb_c_init: Annotated[float, Field(ge=0)] = 1.25
    pb_c_base: Annotated[float, Field(gt=0)] = 19652.0

    def __post_init__(self) -> None:
        check_plan_freq(self.plan_freq, self.horizon)


class Node(NamedTuple):
    """A state of the tree, with a leading axis of one episode.

    Attributes:
        past: [1, W-1, D] tokens of the last transitions; length: [1], how many of them are there. now: [1, O].
        actions: [1, N, A] tokens to choose from. step: [1, D] the transition that led here, value: [1] what was
            expected after it, reward: [1] of it.
        key: [1, ...] the data of the node's key, for a tree holds plain numbers.
    """

    past: Array
    length: Array
    now: Array
    actions: Array
    step: Array
    reward: Array
    value: Array
    key: Array


def make_mcts(config: MctsConfig, model: SequenceModel) -> PlanFn:
    """The tree search over a sequence model, as a planner.

    It plays the most visited action of the root. The trajectory is the most visited path; after the path's end
    observations and actions stay what they were, and rewards and values are NaN.
    """
    check_context(config.context, model.config.window)

    def plan(params: SequenceParams, key: Array, history: History) -> Plan:
        history = jax.tree.map(lambda x: x[None], history)
        search_key, root_key = jax.random.split(key)
        node, logits, value = root_of(config, model, params, root_key[None], history)
        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=node)

        def recurrent(params: SequenceParams, _: Array, action: Array, node: Node) -> tuple:
            node, logits, value = child_of(config, model, params, node, action)
            discount = jnp.full_like(value, model.config.discount)
            output = mctx.RecurrentFnOutput(reward=node.reward, discount=discount, prior_logits=logits, value=value)
            return output, node

        found = mctx.muzero_policy(
            params,
            search_key,
            root,
            recurrent,
            num_simulations=config.simulations,
            max_depth=config.horizon,
            dirichlet_fraction=0.0,
            temperature=0.0,
            pb_c_init=config.pb_c_init,
            pb_c_base=config.pb_c_base,
        )
        return jax.tree.map(lambda x: x[0], most_visited_plan(config, model, params, history, found.search_tree))

    def plan_all(params: SequenceParams, keys: Array, history: History) -> Plan:
        return jax.vmap(plan, in_axes=(None, 0, 0))(params, keys, history)

    return plan_all


def root_of(
    config: MctsConfig, model: SequenceModel, params: SequenceParams, keys: Array, history: History
) -> tuple[Node, Array, Array]:
    """(root, prior logits [1, N] of its actions, its value [1]: the prior's mean of one step and what follows)."""
    past, now = history_tokens(model, params, history)
    room = model.config.window - 1 - past.shape[1]
    past = jnp.pad(past, ((0, 0), (room, 0), (0, 0)))
    reader = open_reader(model, params, past, now, history.length)
    none, data = jnp.zeros(1), jax.random.key_data(keys)
    step = jnp.zeros((1, model.layout.dims), jnp.int32)
    root = Node(
        past, history.length, now, jnp.zeros((1, config.actions, model.action_dim), jnp.int32), step, none, none, data
    )
    root, logits = with_actions(config, model, params, root, reader)
    every = jax.tree.map(lambda x: jnp.repeat(x, config.actions, axis=0), root)
    _, reward, value = outcome_of(model, params, every, root.actions[0])
    return root, logits, jnp.sum(jax.nn.softmax(logits) * (reward + model.config.discount * value), axis=-1)


def child_of(
    config: MctsConfig, model: SequenceModel, params: SequenceParams, node: Node, action: Array
) -> tuple[Node, Array, Array]:
    """(child, prior logits [1, N], value [1]) of playing action number `action` [1] at a node."""
    layout = model.layout
    keys = fold_in(keys_of(node), action[0])
    chosen = node.actions[jnp.arange(1), action]
    (reader, tokens), reward, value = outcome_of(model, params, node, chosen)
    reader = fork(model, reader, 1, 1 + layout.obs_dim)
    reader = feed(model, params, reader, tokens[:, 1])
    reader, obs = read_on(model, params, reader, keys, 0, layout.obs_dim, Filter(top_k=config.k_obs))
    step = jnp.concatenate([node.now, chosen, tokens], axis=-1)
    child = Node(
        past=jnp.concatenate([node.past[:, 1:], step[:, None]], axis=1),
        length=jnp.minimum(node.length + 1, node.past.shape[1]),
        now=obs,
        actions=node.actions,
        step=step,
        reward=reward,
        value=value,
        key=jax.random.key_data(keys),
    )
    child, logits = with_actions(config, model, params, child, reader)
    return child, logits, value


def outcome_of(model: SequenceModel, params: SequenceParams, node: Node, action: Array) -> tuple[tuple, Array, Array]:
    """((reader, reward and value tokens [R, 2]), reward [R], value [R] after it) of actions [R, A] at nodes [R]."""
    reader = open_reader(model, params, node.past, node.now, node.length)
    reader = read_given(model, params, fork(model, reader, 1, model.action_dim + 1), action)
    reader, outcome = read_outcome(model, params, reader, keys_of(node))
    value = outcome.value
    if model.config.reward_to_go == "including":
        value = (value - outcome.reward) / model.config.discount
    return (reader, outcome.tokens), outcome.reward, value


def with_actions(
    config: MctsConfig, model: SequenceModel, params: SequenceParams, node: Node, reader: object
) -> tuple[Node, Array]:
    """The node with actions drawn from its reader, and their prior logits [1, N]; a repeated draw cannot be chosen."""
    keep = Filter(config.k_act, config.cdf_act, config.temperature)
    before = reader.log_prob  # type: ignore[attr-defined]
    forked = fork(model, reader, config.actions, model.action_dim)  # type: ignore[arg-type]
    forked, drawn = read_on(model, params, forked, keys_of(node), model.layout.first_action, model.action_dim, keep)
    logits = forked.log_prob - jnp.repeat(before, config.actions)
    same = jnp.all(drawn[:, None] == drawn[None], axis=-1)
    repeated = jnp.any(jnp.tril(same, -1), axis=-1)
    logits = jnp.where(repeated, -jnp.inf, logits)
    return node._replace(actions=drawn[None]), logits[None]


def keys_of(node: Node) -> Array:
    """[1] the node's key."""
    return jax.random.wrap_key_data(node.key)


def most_visited_plan(
    config: MctsConfig, model: SequenceModel, params: SequenceParams, history: History, tree: mctx.Tree
) -> Plan:
    """The plan along the most visited children from the root of a tree of one episode."""
    nodes: Node = tree.embeddings

    def go(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        index, alive = carry
        child = tree.children_index[0, index, jnp.argmax(tree.children_visits[0, index])]
        there = alive & (child != mctx.Tree.UNVISITED)
        index = jnp.where(there, child, index)
        reward = jnp.where(there, nodes.reward[0, index], jnp.nan)
        return (index, there), (nodes.step[0, index], reward, jnp.where(there, nodes.value[0, index], jnp.nan))

    start = jnp.asarray(mctx.Tree.ROOT_INDEX), jnp.asarray(True)
    _, (tokens, reward, value) = jax.lax.scan(go, start, length=config.horizon)
    trajectory = decode(params, model, history, tokens[None], reward[None], value[None])
    return Plan(trajectory.action[:, 0], trajectory, tree.node_values[:, mctx.Tree.ROOT_INDEX])
