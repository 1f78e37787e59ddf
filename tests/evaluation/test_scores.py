"""The behaviour's scores, worked by hand on three episodes."""

from dataclasses import replace

import numpy as np
import pytest

from orl.data.episodes import Dataset, Reference
from orl.errors import DataError
from orl.evaluation.scores import behaviour_summary


def dataset(rewards, starts, reference=None):
    n = len(rewards)
    obs, flags = np.zeros((n, 2), np.float32), np.zeros(n, bool)
    bound = np.ones(1, np.float32)
    return Dataset(
        name="tiny",
        obs=obs,
        action=obs[:, :1],
        reward=np.array(rewards, np.float32),
        next_obs=obs,
        terminated=flags,
        truncated=flags,
        starts=np.array(starts, np.int64),
        action_low=-bound,
        action_high=bound,
        reference=reference,
    )


THREE = dataset([1, 2, 3, 4, 5, 15], [0, 3, 5])  # returns 6, 9, 15


def test_mean_and_best_count_each_episode_once():
    got = behaviour_summary(THREE)
    assert got == {"mean": 10.0, "best": 15.0, "score": None, "best_score": None, "episodes": 3}


def test_scores_come_from_the_datasets_reference():
    got = behaviour_summary(replace(THREE, reference=Reference(min=5.0, max=25.0, source="made up")))
    assert (got["score"], got["best_score"]) == (25.0, 50.0)
    assert (got["mean"], got["best"]) == (10.0, 15.0)


def test_a_dataset_without_episodes_is_refused():
    with pytest.raises(DataError, match="tiny has no episodes"):
        behaviour_summary(dataset([], []))
