"""Fitting an ensemble: one jitted call per epoch, early stopping per member, best snapshots kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from orl import finite
from orl.compilation import small_products
from orl.data.history import newest_of
from orl.dynamics.ensemble import Ensemble, EnsembleParams, next_obs_normaliser
from orl.dynamics.loss import bound_penalty, member_nll, termination_loss, weight_decay
from orl.networks import forward
from orl.types import Array, Metrics, Params, Transition

HOLDOUT_CHUNK = 4096  # rows evaluated at a time, so that a large held-out set does not need a large activation


class FitData(NamedTuple):
    """Rows in the network's units: inputs [N, W+A], targets [N, O+1], next_obs [N, O], terminated [N]."""

    inputs: Array
    targets: Array
    next_obs: Array
    terminated: Array


class FitState(NamedTuple):
    """What an epoch carries to the next.

    `best_*` are snapshots of each member, with their errors [E]; `stale` counts epochs without progress, a scalar.
    """

    params: EnsembleParams
    opt_state: optax.OptState
    best_net: Params
    best_error: Array
    best_termination: Params
    best_termination_loss: Array
    stale: Array
    epoch: Array


def targets_of(rows: Transition) -> Array:
    """[N, O+1]: the change of the observation, then the reward, of rows without a history (`newest_of`)."""
    return jnp.concatenate([rows.next_obs - rows.obs, rows.reward[:, None]], axis=-1)


def fit_data(params: EnsembleParams, rows: Transition) -> FitData:
    """Logged rows, with their history, in the network's units."""
    x = jnp.concatenate([rows.obs, rows.action], axis=-1)
    normaliser = next_obs_normaliser(params)
    newest = newest_of(rows, normaliser.mean.shape[0])
    targets, next_obs = params.targets.apply(targets_of(newest)), normaliser.apply(newest.next_obs)
    return FitData(params.inputs.apply(x), targets, next_obs, rows.terminated)


def improved(best: Array, new: Array, threshold: float) -> Array:
    """Whether held-out errors [E] fell by more than `threshold` of the best so far."""
    return (best - new) / best > threshold


def next_stale(stale: Array, any_improved: Array) -> Array:
    """Epochs in a row in which no member improved, a scalar."""
    return jnp.where(any_improved, 0, stale + 1)


def bootstrap_rows(key: Array, members: int, rows: int) -> Array:
    """[E, N] row indices drawn with replacement, once per member. The key is consumed."""
    return jax.random.randint(key, (members, rows), 0, rows)


def init_fit(ensemble: Ensemble, params: EnsembleParams) -> FitState:
    """The state before the first epoch."""
    state = FitState(
        params=params,
        opt_state=_optimiser(ensemble).init(_trainable(params)),
        best_net=params.net,
        best_error=jnp.full(ensemble.config.members, 1e10),
        best_termination=params.termination,
        best_termination_loss=jnp.asarray(jnp.inf),
        stale=jnp.asarray(0),
        epoch=jnp.asarray(0),
    )
    # Copies, because epochs donate the state and snapshots must not share its buffers; of an explicit dtype, because
    # the weak types of bare numbers turn strong in the first epochs, and each change would compile the epoch anew.
    return jax.tree.map(lambda x: jnp.array(x, dtype=x.dtype), state)


def make_epoch(ensemble: Ensemble) -> Callable[..., tuple[FitState, Metrics, finite.Onset]]:
    """(state, root key, train, holdout) -> (state, metrics, what was not finite): one pass over the bootstrapped rows.

    `train` and `holdout` are `FitData`.
    """
    config, optimiser = ensemble.config, _optimiser(ensemble)

    def loss_fn(
        trainable: Params, params: EnsembleParams, batch: FitData, head_batch: FitData
    ) -> tuple[Array, tuple[Metrics, Array]]:
        params = params._replace(**trainable)
        mean, log_var = ensemble.head(params, params.net, batch.inputs)
        each = member_nll(mean, log_var, batch.targets)
        nll = jnp.sum(each)
        loss = nll + weight_decay(params.net, config.weight_decay)
        loss += bound_penalty(params.min_log_var, params.max_log_var, config.bound_weight)
        metrics = {"nll": nll / config.members}
        if ensemble.learned_termination:
            metrics["termination_loss"] = termination_loss(
                _head_logit(ensemble, params, head_batch), head_batch.terminated
            )
            loss += metrics["termination_loss"]
        return loss, (metrics, each)

    def epoch(state: FitState, root: Array, train: FitData, holdout: FitData) -> tuple[FitState, Metrics, finite.Onset]:
        batches = _epoch_batches(config.members, config.batch_size, train.targets.shape[0], root, state.epoch)

        def update(carry: tuple[EnsembleParams, optax.OptState], rows: Array) -> tuple[tuple, Any]:
            params, opt_state = carry
            batch = jax.tree.map(lambda x: x[rows[:-1]], train)  # the last line of rows is the head's: no bootstrap
            head_batch = jax.tree.map(lambda x: x[rows[-1]], train)
            grads, (metrics, nll) = jax.grad(loss_fn, has_aux=True)(_trainable(params), params, batch, head_batch)
            updates, opt_state = optimiser.update(grads, opt_state)
            params = params._replace(**optax.apply_updates(_trainable(params), updates))
            return (params, opt_state), (metrics, _update_marks(metrics, nll, grads))

        before = _state_marks(state)
        (params, opt_state), (metrics, marks) = jax.lax.scan(update, (state.params, state.opt_state), batches)
        metrics = jax.tree.map(jnp.mean, metrics)
        state = state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1)
        state, metrics = _keep_best(ensemble, state, holdout, metrics)
        after = finite.join(_state_marks(state), finite.mark(finite.short(metrics)))
        return state, metrics, finite.onset(before, (marks,), after)

    return epoch


def compiled_epoch(ensemble: Ensemble, *, donate: bool = True) -> Callable[..., tuple[FitState, Metrics, finite.Onset]]:
    """`make_epoch` as a program; it takes the state's buffers over unless `donate` is false."""
    options = small_products()
    return jax.jit(make_epoch(ensemble), donate_argnums=0 if donate else (), compiler_options=options)


def finish_fit(ensemble: Ensemble, state: FitState) -> EnsembleParams:
    """The fitted ensemble: every member's best snapshot, and the elites by held-out error, best first."""
    elites = jnp.argsort(state.best_error)[: ensemble.config.elites].astype(jnp.int32)
    return state.params._replace(net=state.best_net, termination=state.best_termination, elites=elites)


def _optimiser(ensemble: Ensemble) -> optax.GradientTransformation:
    return optax.adam(ensemble.config.learning_rate)


def _update_marks(metrics: Metrics, nll: Array, grads: Params) -> finite.Marks:
    """Marks of an update: the members' losses [E], the others', then the gradients, the members' one by one."""
    shared = {name: grads[name] for name in grads if name != "net"}
    return finite.join(
        finite.mark_members([("nll", nll)]),
        finite.mark((name, loss) for name, loss in metrics.items() if name != "nll"),
        finite.mark_members(finite.short(grads["net"], "gradient of ")),
        finite.mark(finite.short(shared, "gradient of ")),
    )


def _state_marks(state: FitState) -> finite.Marks:
    """Marks of all parameters and of Adam's moments; what is stacked over members is named by member."""
    return finite.join(
        finite.mark_members(finite.arrays(state.params.net)),
        finite.mark(finite.arrays(state.params._replace(net=()))),
        finite.mark(finite.arrays(state.opt_state)),
    )


def _trainable(params: EnsembleParams) -> dict[str, Params]:
    return {name: getattr(params, name) for name in ("net", "min_log_var", "max_log_var", "termination")}


def _head_logit(ensemble: Ensemble, params: EnsembleParams, rows: FitData) -> Array:
    x = jnp.concatenate([rows.inputs, rows.next_obs], axis=-1)
    return forward(ensemble.termination_head, params.termination, x)[..., 0]


def _epoch_batches(members: int, batch_size: int, rows: int, root: Array, epoch: Array) -> Array:
    """[steps, E+1, B] row indices: each member's own bootstrap in a new order, and all rows in a new order.

    Batches are whole: what is left over at the end of the order sits this epoch out.
    """
    bootstrap_key, shuffle_key = jax.random.fold_in(root, 0), jax.random.fold_in(jax.random.fold_in(root, 1), epoch)
    drawn = bootstrap_rows(bootstrap_key, members, rows)
    everything = jnp.concatenate([drawn, jnp.arange(rows)[None]])
    shuffled = jax.random.permutation(shuffle_key, everything, axis=1, independent=True)
    size = min(batch_size, rows)
    steps = rows // size
    return shuffled[:, : steps * size].reshape(members + 1, steps, size).transpose(1, 0, 2)


def _keep_best(ensemble: Ensemble, state: FitState, holdout: FitData, metrics: Metrics) -> tuple[FitState, Metrics]:
    """Evaluate on the held-out rows, snapshot the members that improved, count stale epochs."""
    error, head_loss = holdout_errors(ensemble, state.params, holdout)
    better = improved(state.best_error, error, ensemble.config.improvement)

    def keep(best: Array, new: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, best)

    head_better = head_loss < state.best_termination_loss
    state = state._replace(
        best_net=jax.tree.map(keep, state.best_net, state.params.net),
        best_error=jnp.where(better, error, state.best_error),
        best_termination=jax.tree.map(
            lambda best, new: jnp.where(head_better, new, best), state.best_termination, state.params.termination
        ),
        best_termination_loss=jnp.minimum(head_loss, state.best_termination_loss),
        stale=next_stale(state.stale, jnp.any(better)),
    )
    metrics = metrics | {"holdout_mse": jnp.mean(error), "best_mse": jnp.mean(state.best_error), "stale": state.stale}
    if ensemble.learned_termination:
        metrics["holdout_termination_loss"] = head_loss
    return state, metrics


def holdout_errors(ensemble: Ensemble, params: EnsembleParams, holdout: FitData) -> tuple[Array, Array]:
    """(error [E], termination loss): mean squared error of the means, in target units, averaged over dimensions."""
    rows = holdout.targets.shape[0]
    chunks = -(-rows // HOLDOUT_CHUNK)
    padded = jax.tree.map(lambda x: jnp.pad(x, [(0, chunks * HOLDOUT_CHUNK - rows)] + [(0, 0)] * (x.ndim - 1)), holdout)
    split = jax.tree.map(lambda x: x.reshape(chunks, HOLDOUT_CHUNK, *x.shape[1:]), padded)
    real = (jnp.arange(chunks * HOLDOUT_CHUNK) < rows).reshape(chunks, HOLDOUT_CHUNK)

    def chunk_error(args: tuple[FitData, Array]) -> tuple[Array, Array]:
        data, mask = args
        mean, _ = ensemble.head(params, params.net, data.inputs)
        error = jnp.sum(jnp.mean((mean - data.targets) ** 2, axis=-1) * mask, axis=-1)
        if not ensemble.learned_termination:
            return error, jnp.zeros(())
        logit = _head_logit(ensemble, params, data)
        return error, jnp.sum((jax.nn.softplus(logit) - data.terminated * logit) * mask)

    error, head_loss = jax.lax.map(chunk_error, (split, real))
    return jnp.sum(error, axis=0) / rows, jnp.sum(head_loss) / rows
