"""The value of a log's behaviour, for whoever needs one beside a fitted model."""

from __future__ import annotations

from orl.agents.behaviour_value import fit_behaviour_value
from orl.agents.state_value import ValueParams
from orl.data.episodes import Dataset
from orl.data.split import SPLIT_SEED, split_by_episode
from orl.dynamics.config import EnsembleConfig
from orl.runs.seeds import model_keys
from orl.runs.sequences import log_of


def value_of_behaviour(dataset: Dataset, model: EnsembleConfig, discount: float, seed: int) -> ValueParams:
    """Fitted to the training side of the split that the ensemble `model` was fitted on; `seed` is that model's."""
    split = split_by_episode(dataset, model.holdout_fraction, SPLIT_SEED, model.holdout_max_rows)
    log = log_of(dataset, split.train_rows)
    final = dataset.next_obs[split.train_rows[log.last]]
    key = model_keys(seed)[0]
    return fit_behaviour_value(log.obs, final, log.reward, log.last, log.cut, discount=discount, key=key)
