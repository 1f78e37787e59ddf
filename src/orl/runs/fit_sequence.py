"""`orl fit-model --kind transformer`: from a dataset to a density model of its trajectories in a run folder."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from orl.agents.behaviour_value import fit_behaviour_value
from orl.agents.implicit_value import fit_implicit_value
from orl.agents.state_value import ValueParams, state_value
from orl.config import Preset, build
from orl.data.episodes import Dataset
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.runs.checkpoints import read_latest
from orl.runs.claim import claimed
from orl.runs.config import SequenceRunConfig
from orl.runs.directory import RunDirectory, check_folder, is_finished, load_run, open_run, settings_of
from orl.runs.divergence import OnDivergence, lowered, with_rollback
from orl.runs.epochs import Fit, run_epochs
from orl.runs.fits import fit_document
from orl.runs.loading import transitions
from orl.runs.memory_needs import sequence_plan
from orl.runs.record import dataset_identity, run_details
from orl.runs.reporter import Reporter
from orl.runs.seeds import model_keys
from orl.runs.sequences import log_of, params_template
from orl.sequence.fit import FitState, finish_fit, holdout_losses, init_fit, make_epoch
from orl.sequence.layout import KINDS
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import Log, TokenStore, make_discretiser, token_store

KIND = "transformer"
CHECKPOINT_EPOCHS = 1


class FittedSequence(NamedTuple):
    """A model read from its run folder: its shape and its parameters."""

    model: SequenceModel
    params: SequenceParams
    path: Path


def fit_sequence(
    dataset: Dataset,
    config: SequenceRunConfig,
    path: Path,
    *,
    presets: list[Preset] | None = None,
    force: bool = False,
    on_divergence: OnDivergence = "stop",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Fit a sequence model and return the JSON document; goes on where an earlier call stopped.

    Args:
        on_divergence: "rollback" goes back to the last good checkpoint, and on at a tenth of the learning rate, once.

    Raises:
        UsageError: the folder holds another run, is in use or cannot be written to, or the memory is too small.
        DivergedError: something was not finite. Interrupted: SIGINT or SIGTERM came; the same call goes on from the
        checkpoint.
    """
    reporter = reporter or Reporter()
    began = time.perf_counter()
    model = SequenceModel(config.model, dataset.spec.obs_dim, dataset.spec.action_dim)
    details = run_details(dataset, presets or []) | {"seeds": [config.seed]}
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)
    plan = sequence_plan(dataset, config) if force or not is_finished(path) else None
    if plan is not None:
        plan.refuse_if_too_large()
    with claimed(path, plan is not None):
        run = open_run(path, KIND, config, dataset_identity(dataset), details, force=force)
        if plan is not None and not run.finished:
            with plan.explained():
                result = _fit(run, dataset, config, model, on_divergence, reporter)
            run.update(status="finished", result=result, seconds=time.perf_counter() - began)
    return fit_document(run)


def _fit(
    run: RunDirectory,
    dataset: Dataset,
    config: SequenceRunConfig,
    model: SequenceModel,
    on_divergence: OnDivergence,
    reporter: Reporter,
) -> dict[str, Any]:
    """Fit what is left to fit, and judge it: the result for run.json."""
    params, stores, root = _prepare(dataset, config, model, reporter)
    largest = float(np.abs(dataset.reward).max())

    def go_on(scale: float) -> FitState:
        fit = _epochs_of(model, lowered(config, scale), params, root, stores, largest)
        return run_epochs(run, fit, init_fit(model, params), reporter)

    state = with_rollback(run, on_divergence, CHECKPOINT_EPOCHS, reporter, go_on)
    fitted = finish_fit(model, params, state)
    return {"holdout": holdout_report(model, fitted, *stores), "epochs": int(state.epoch)}


def _prepare(
    dataset: Dataset, config: SequenceRunConfig, model: SequenceModel, reporter: Reporter
) -> tuple[SequenceParams, tuple[TokenStore, TokenStore], jax.Array]:
    """Fresh parameters, the tokens of both sides and the epochs' key; the logs behind the tokens are let go."""
    init_key, root = model_keys(config.seed)
    train, holdout = load_logs(dataset, config, init_key, reporter)
    params = model.init(init_key, make_discretiser(train, config.model))
    stores = (
        token_store(train, params.discretiser, config.model),
        token_store(holdout, params.discretiser, config.model, stride=config.model.window),
    )
    return params, stores, root


def holdout_report(
    model: SequenceModel, params: SequenceParams, train: TokenStore, holdout: TokenStore
) -> dict[str, Any]:
    """Cross-entropy of held-out tokens by kind, beside that of the bins' frequencies in the training data."""
    sums, counts = jax.jit(holdout_losses, static_argnums=0)(model, params, holdout)
    means = np.asarray(sums / jnp.maximum(counts, 1), np.float64)
    plain = frequency_losses(model, np.asarray(train.tokens), np.asarray(holdout.tokens))
    return {
        "cross_entropy": dict(zip(KINDS, means.tolist(), strict=True)),
        "cross_entropy_of_frequencies": dict(zip(KINDS, plain, strict=True)),
        "bins": np.asarray(params.discretiser.counts).tolist(),
        "rows": int(holdout.tokens.shape[0]),
    }


def frequency_losses(model: SequenceModel, train: np.ndarray, holdout: np.ndarray) -> list[float]:
    """Nats a token by kind, of tokens [N, D] predicted by their dimension's frequencies (one added to each bin)."""
    losses = []
    for dim in range(model.layout.dims):
        counts = np.bincount(train[:, dim], minlength=model.config.bins) + 1.0
        losses.append(float(np.mean(-np.log(counts / counts.sum())[holdout[:, dim]])))
    kinds = model.layout.kind_of_dim()
    return [float(np.mean(np.asarray(losses)[kinds == kind])) for kind in range(len(KINDS))]


def load_logs(dataset: Dataset, config: SequenceRunConfig, key: jax.Array, reporter: Reporter) -> tuple[Log, Log]:
    """The training and the held-out side, with the values that their rewards cannot tell; all fitted on the former."""
    model = config.model
    split = split_by_episode(dataset, model.holdout_fraction, SPLIT_SEED, model.holdout_max_rows)
    rows = split.train_rows, split.holdout_rows
    train, holdout = (log_of(dataset, side) for side in rows)
    if model.value == "iql":
        reporter.message("fitting the value of the log's best behaviour (implicit Q-learning)")
        data = transitions(dataset, rows[0])
        value = fit_implicit_value(data, discount=model.discount, expectile=model.expectile, key=key)
        return _with_ahead(train, dataset.next_obs[rows[0]], value), _with_ahead(
            holdout, dataset.next_obs[rows[1]], value
        )
    if model.timeouts != "bootstrap" or not train.cut.any():
        return train, holdout
    reporter.message("fitting the behaviour's value, to complete episodes that were cut off")
    finals = [dataset.next_obs[side[log.last]] for side, log in zip(rows, (train, holdout), strict=True)]
    value = fit_behaviour_value(
        train.obs, finals[0], train.reward, train.last, train.cut, discount=model.discount, key=key
    )
    return _with_beyond(train, finals[0], value), _with_beyond(holdout, finals[1], value)


def _with_ahead(log: Log, next_obs: np.ndarray, value: ValueParams) -> Log:
    ahead = np.asarray(state_value(value, jnp.asarray(next_obs)))
    return log._replace(ahead=np.where(log.terminated, 0.0, ahead).astype(np.float32))


def _with_beyond(log: Log, final_obs: np.ndarray, value: ValueParams) -> Log:
    beyond = np.asarray(state_value(value, jnp.asarray(final_obs)))
    return log._replace(beyond=np.where(log.cut, beyond, 0.0).astype(np.float32))


def load_sequence(path: str | Path) -> FittedSequence:
    """The fitted model in a run folder.

    Raises:
        DataError: not a finished fit.
    """
    run = load_run(Path(path), KIND)
    config = settings_of(run.path, partial(build, SequenceRunConfig))
    sizes = run.record["dataset"]
    model = SequenceModel(config.model, sizes["obs_dim"], sizes["action_dim"])
    _, items = read_latest(run.checkpoints, model=params_template(model))
    return FittedSequence(model, items["model"], run.path)


def _epochs_of(
    model: SequenceModel,
    config: SequenceRunConfig,
    params: SequenceParams,
    root: jax.Array,
    stores: tuple[TokenStore, TokenStore],
    largest_reward: float,
) -> Fit:
    """The epochs of a fit at the learning rate of `config`."""
    epoch_fn = jax.jit(make_epoch(replace(model, config=config.model)), donate_argnums=0)
    return Fit(
        title=f"fitting the {'transformer' if config.model.arch == 'gpt' else 'LSTM'}",
        total=config.model.epochs,
        updates=config.model.epoch_steps,
        config=config,
        epoch=lambda state: epoch_fn(state, params, root, *stores),
        done=lambda state: False,
        items=lambda state: {"state": state, "model": finish_fit(model, params, state)},
        shown=lambda row: (
            {name: row[f"holdout_{name}"] for name in ("obs", "action", "value")} | {"best": row["best_loss"]}
        ),
        largest_reward=largest_reward,
        checkpoint_every=CHECKPOINT_EPOCHS,
    )
