"""On what the reward depends: on observation and action alone, or on what came of them."""

from __future__ import annotations

import numpy as np

from orl.data.audit.delays import held_in
from orl.data.audit.features import feature_count, smooth_features, standardised
from orl.data.audit.finding import Finding, percent
from orl.data.audit.ridge import fold_moments, heldout_r2
from orl.data.audit.sample import sample_rows
from orl.data.episodes import Dataset

OPEN = 0.02  # share of the reward's variance that (s, a) must leave open: smooth fits of known rewards leave less
CLOSED = 0.5  # share of it that the next observation must explain


def reward_of_next(dataset: Dataset) -> list[Finding]:
    """Whether the next observation explains what observation and action leave open of the reward.

    A note, for nothing breaks: models here predict reward and next observation together from (s, a), so their reward is
    the mean over next observations. But a reward computed from (s, a) of a sampled step would be another one.
    """
    scores = reward_r2(dataset)
    if scores is None:
        return []
    before, after = scores
    if 1 - before < OPEN or after - before < CLOSED * (1 - before):
        return []
    message = (
        f"observation and action explain {percent(max(before, 0.0))} of the reward, with the next observation "
        f"{percent(after)}: the reward depends on where the step led"
    )
    advice = "models here predict both together and need no change; give your own reward function next_obs as well"
    return [Finding("reward", "note", "reward", after - before, message, advice)]


def reward_r2(dataset: Dataset) -> tuple[float, float] | None:
    """Held-out R^2 of the reward from smooth functions of (s, a) and of (s, a, s'); None where it cannot be told."""
    sample = sample_rows(dataset)
    if sample is None:
        return None
    rows, count = sample.rows, feature_count(len(sample.rows))
    target = held_in(dataset.reward[rows][:, None])
    if not target.any():
        return None
    now = np.concatenate([standardised(dataset.obs[rows]), standardised(dataset.action[rows])], axis=1)
    change = standardised(dataset.next_obs[rows] - dataset.obs[rows])
    scores = []
    for inputs in (now, np.concatenate([now, change], axis=1)):
        features = smooth_features(inputs, count)
        scores.append(float(heldout_r2(fold_moments(features, target, sample.fold), np.arange(features.shape[1]))[0]))
    return scores[0], scores[1]
