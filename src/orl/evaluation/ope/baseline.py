"""What the behaviour itself earned in each logged episode, on the scale of policies that are valued beyond a cut."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from orl.evaluation.ope.crossfit import assign_folds, bootstrap_outside, by_those_outside
from orl.evaluation.ope.fqe import FqeConfig, fit_q, q_values
from orl.evaluation.ope.types import Floats, LoggedEpisodes
from orl.types import Array

NEGLIGIBLE = 1e-3  # weight of what follows the shortest cut episode, below which nothing is made of it


def tail_weight(episodes: LoggedEpisodes, discount: float) -> float:
    """The greatest weight, discount^steps, of what would have followed a cut; 0 where no episode was cut."""
    steps = episodes.lengths[episodes.cut]
    return float(discount ** steps.min()) if len(steps) else 0.0


def behaviour_returns(
    config: FqeConfig,
    episodes: LoggedEpisodes,
    final_action: Array,
    discount: float,
    key: Array,
    *,
    folds: int,
    seed: int,
) -> Floats:
    """[R, E] the behaviour's discounted return of each episode, a cut one completed by its own fitted value.

    Row r completes by members r of `crossfit_fqe` with the same folds and seed: they see the same bootstraps, so that
    their shared errors fall out of differences to a policy's value. One row where the tail is negligible.

    Args:
        final_action: [E, A] what the behaviour would do in the observation after each episode's last step.
    """
    if tail_weight(episodes, discount) < NEGLIGIBLE:
        return episodes.returns(discount)[None]
    fold = assign_folds(len(episodes), folds, seed)
    multiplicity = bootstrap_outside(fold, config.members, seed)[:, episodes.of_row]
    params = fit_q(config, next_actions(episodes, final_action), episodes, multiplicity, discount, key)
    final = q_values(params, episodes.rows.next_obs[episodes.last], final_action)
    beyond = by_those_outside(np.asarray(final, np.float64), fold)
    return np.stack([episodes.returns(discount, each) for each in beyond])


def next_actions(episodes: LoggedEpisodes, final_action: Array) -> Array:
    """[N, A] the action that the behaviour took in `next_obs`: the next row's, `final_action` [E, A] after the last."""
    following = jnp.roll(episodes.rows.action, -1, axis=0)
    return following.at[episodes.last].set(final_action)
