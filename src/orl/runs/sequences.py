"""What a sequence model is fitted to, and the shapes of its parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from orl.data.border import agent_action
from orl.data.episodes import Dataset
from orl.data.history import stacked_rows
from orl.sequence.discretiser import Discretiser
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import Log


def log_of(dataset: Dataset, rows: np.ndarray) -> Log:
    """Rows [N], ascending, as one side of the log; stretches end with their episode or where the side does."""
    ends = np.append(np.flatnonzero(np.diff(dataset.episode_of_row[rows]) != 0), len(rows) - 1)
    last = ends[np.searchsorted(ends, np.arange(len(rows)))]
    return Log(
        obs=stacked_rows(dataset, rows)[0],
        action=agent_action(dataset.action[rows], dataset.action_low, dataset.action_high),
        reward=dataset.reward[rows],
        terminated=dataset.terminated[rows],
        last=last,
        cut=~dataset.terminated[rows[last]],
        beyond=np.zeros(len(rows), np.float32),
    )


def params_template(model: SequenceModel) -> SequenceParams:
    """The shapes of a fitted model's parameters."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0), bare_discretiser(model)))


def bare_discretiser(model: SequenceModel) -> Discretiser:
    """A discretiser of the right shapes, without bins."""
    dims, bins = model.layout.dims, model.config.bins
    return Discretiser(jnp.zeros((dims, bins + 1)), jnp.zeros((dims, bins)), jnp.zeros(dims, jnp.int32))
