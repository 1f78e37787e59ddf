"""Fitting a sequence model: one jitted call per epoch, windows drawn on the device, gradients accumulated in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from orl import finite
from orl.sequence.config import TransformerConfig
from orl.sequence.layout import KINDS, Layout
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import TokenStore, Windows, windows
from orl.types import Array, Metrics, Params

HOLDOUT_CHUNK = 16  # windows evaluated at a time


class FitState(NamedTuple):
    """What an epoch carries to the next; `best_net` is from the epoch with the lowest held-out loss, a scalar."""

    net: Params
    opt_state: optax.OptState
    best_net: Params
    best_loss: Array
    epoch: Array


def token_losses(logits: Array, batch: Windows) -> tuple[Array, Array]:
    """(cross-entropy [B, T-1] in nats of each token after the first, whether it counts [B, T-1])."""
    logged = jax.nn.log_softmax(logits[:, :-1])
    targets = batch.tokens[:, 1:]
    return -jnp.take_along_axis(logged, targets[..., None], axis=-1)[..., 0], batch.counts[:, 1:]


def token_weights(layout: Layout, config: TransformerConfig, length: int) -> Array:
    """[T-1] loss weight of each token after the first."""
    by_kind = np.array([config.obs_weight, config.action_weight, config.reward_weight, config.value_weight], np.float32)
    return jnp.asarray(np.tile(by_kind[layout.kind_of_dim()], length)[1:])


def mean_by_kind(losses: Array, counts: Array, layout: Layout) -> tuple[Array, Array]:
    """(sum of the losses [4] and number of tokens [4]) by kind, from [B, T-1]."""
    kinds = jnp.asarray(np.tile(layout.kind_of_dim(), losses.shape[1] // layout.dims + 1)[1:])
    one_hot = jax.nn.one_hot(kinds, len(KINDS))
    return jnp.sum(jnp.where(counts, losses, 0.0), axis=0) @ one_hot, jnp.sum(counts, axis=0) @ one_hot


def optimiser(config: TransformerConfig) -> optax.GradientTransformation:
    """AdamW with clipped gradients, warm-up and cosine; the decay is on matrices only.

    Embeddings, biases and norms are not decayed, as in the reference.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=max(config.epochs * config.epoch_steps, config.warmup_steps + 1),
        end_value=config.final_rate * config.learning_rate,
    )
    adamw = optax.adamw(schedule, b1=config.beta1, b2=config.beta2, weight_decay=config.weight_decay, mask=is_matrix)
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw)


def is_matrix(net: Params) -> Params:
    """True at the leaves that multiply activations: kernels and heads."""

    def named(path: tuple, _: Array) -> bool:
        return path[-1].key in ("kernel", "heads")

    return jax.tree_util.tree_map_with_path(named, net)


def init_fit(model: SequenceModel, params: SequenceParams) -> FitState:
    """The state before the first epoch."""
    state = FitState(
        params.net, optimiser(model.config).init(params.net), params.net, jnp.asarray(jnp.inf), jnp.asarray(0)
    )
    return jax.tree.map(lambda x: jnp.array(x, dtype=x.dtype), state)  # copies: epochs donate the state


def make_epoch(model: SequenceModel) -> Callable[..., tuple[FitState, Metrics, finite.Onset]]:
    """(state, discretiser, root key, train, holdout) -> (state, metrics, what was not finite): `epoch_steps` updates.

    `train` and `holdout` are `TokenStore`s. The key is folded with the epoch's number.
    """
    config, optim = model.config, optimiser(model.config)

    def epoch(
        state: FitState, params: SequenceParams, root: Array, train: TokenStore, holdout: TokenStore
    ) -> tuple[FitState, Metrics, finite.Onset]:
        def update(carry: tuple[Params, optax.OptState], key: Array) -> tuple[tuple, Any]:
            net, opt_state = carry
            grads, sums = _gradient(model, params._replace(net=net), train, key)
            updates, opt_state = optim.update(grads, opt_state, net)
            marks = finite.mark([("loss", sums[0]), *finite.short(grads, "gradient of ")])
            return (optax.apply_updates(net, updates), opt_state), (sums, marks)

        keys = jax.random.split(jax.random.fold_in(root, state.epoch), config.epoch_steps)
        (net, opt_state), ((sums, counts), marks) = jax.lax.scan(update, (state.net, state.opt_state), keys)
        metrics = _named("train", jnp.sum(sums, axis=0), jnp.sum(counts, axis=0))
        held, held_counts = holdout_losses(model, params._replace(net=net), holdout)
        metrics |= _named("holdout", held, held_counts)
        loss = metrics["holdout_loss"] = weighted_loss(model, held, held_counts)
        better = loss < state.best_loss
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), net, state.best_net)
        metrics["best_loss"] = jnp.minimum(loss, state.best_loss)
        before = finite.mark(finite.arrays((state.net, state.opt_state)))
        after = finite.mark([*finite.arrays((net, opt_state)), *finite.short(metrics)])
        state = FitState(net, opt_state, best, metrics["best_loss"], state.epoch + 1)
        return state, metrics, finite.onset(before, (marks,), after)

    return epoch


def finish_fit(model: SequenceModel, params: SequenceParams, state: FitState) -> SequenceParams:
    """The fitted model: the last parameters, or those of the best epoch."""
    return params._replace(net=state.best_net if model.config.keep == "best" else state.net)


def weighted_loss(model: SequenceModel, sums: Array, counts: Array) -> Array:
    """What training minimises, from sums and numbers of tokens by kind [4]: weighted, over the number of tokens.

    Reference: Trajectory Transformer, arXiv:2106.02039, and the weights of its code.
    """
    config = model.config
    weights = jnp.asarray([config.obs_weight, config.action_weight, config.reward_weight, config.value_weight])
    return jnp.sum(weights * sums) / jnp.maximum(jnp.sum(counts), 1)


def holdout_losses(model: SequenceModel, params: SequenceParams, store: TokenStore) -> tuple[Array, Array]:
    """(sums [4] in nats, numbers of tokens [4]) by kind over all windows that begin at the store's starts."""
    total = store.starts.shape[0]
    chunks = -(-total // HOLDOUT_CHUNK)
    index = jnp.arange(chunks * HOLDOUT_CHUNK)
    starts = store.starts[jnp.minimum(index, total - 1)].reshape(chunks, HOLDOUT_CHUNK)
    real = (index < total).reshape(chunks, HOLDOUT_CHUNK)

    def chunk(args: tuple[Array, Array]) -> tuple[Array, Array]:
        batch = windows(store, args[0], model.config.window)
        losses, counts = token_losses(model.logits(params, batch.tokens), batch)
        return mean_by_kind(losses, counts & args[1][:, None], model.layout)

    sums, counts = jax.lax.map(chunk, (starts, real))
    return jnp.sum(sums, axis=0), jnp.sum(counts, axis=0)


def _gradient(
    model: SequenceModel, params: SequenceParams, train: TokenStore, key: Array
) -> tuple[Params, tuple[Array, Array]]:
    """Gradient of the weighted mean loss of one batch, chunk by chunk, and its losses by kind (sums, numbers)."""
    config = model.config
    row_key, dropout_key = jax.random.split(key)
    picked = jax.random.randint(row_key, (config.batch_size,), 0, train.starts.shape[0])
    batch = windows(train, train.starts[picked], config.window)
    weights = token_weights(model.layout, config, config.window)
    tokens = jnp.maximum(jnp.sum(batch.counts[:, 1:]), 1)

    def loss(net: Params, chunk: Windows, key: Array) -> tuple[Array, tuple[Array, Array]]:
        logits = model.logits(params._replace(net=net), chunk.tokens, key)
        losses, counts = token_losses(logits, chunk)
        return jnp.sum(jnp.where(counts, losses * weights, 0.0)) / tokens, mean_by_kind(losses, counts, model.layout)

    def add(carry: tuple, inputs: tuple[Windows, Array]) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, carry, jax.grad(loss, has_aux=True)(params.net, *inputs)), None

    size = config.chunk or config.batch_size
    parts = config.batch_size // size
    chunks = jax.tree.map(lambda x: x.reshape(parts, size, *x.shape[1:]), batch)
    zero = (jax.tree.map(jnp.zeros_like, params.net), (jnp.zeros(len(KINDS)), jnp.zeros(len(KINDS))))
    (grads, sums), _ = jax.lax.scan(add, zero, (chunks, jax.random.split(dropout_key, parts)))
    return grads, sums


def _named(side: str, sums: Array, counts: Array) -> Metrics:
    means = sums / jnp.maximum(counts, 1)
    return {f"{side}_{kind}": means[index] for index, kind in enumerate(KINDS)}
