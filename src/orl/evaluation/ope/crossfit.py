"""Cross-fitting over episodes: whatever judges an episode was fitted without it.

Members are numbered r * K + k: bootstrap r of the episodes outside fold k. Of member r for every fold, the answers on
that fold's episodes make one row of [R, E].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orl.errors import DataError
from orl.evaluation.ope.fqe import FqeConfig, FqeParams, fit_fqe, policy_actions, q_values
from orl.evaluation.ope.fqe_diagnosis import FqeDiagnosis, diagnose
from orl.evaluation.ope.types import Floats, Indices, LoggedEpisodes
from orl.types import ActFn, Array, Params


@dataclass(frozen=True)
class CrossFit:
    """What R members that did not see an episode say of it.

    Attributes:
        params: all R * K members. multiplicity: [R * K, N] the rows they learnt from. fold: [E] of each episode.
        initial: [R, E] value of the policy in the first observation.
        q: [R, N] value of the logged action. v: [R, N] value of the policy's own. final: [R, E] value of the policy in
            the observation after the last step.
    """

    params: FqeParams
    multiplicity: Indices
    fold: Indices
    initial: Floats
    q: Floats
    v: Floats
    final: Floats


def assign_folds(episodes: int, folds: int, seed: int = 0) -> Indices:
    """[E] the fold of each episode, in sizes that differ by one at most.

    Raises:
        DataError: fewer episodes than folds.
    """
    if episodes < folds:
        raise DataError(f"{episodes} episode(s) are too few for {folds} folds; ask for fewer folds or record more")
    return np.random.default_rng(seed).permutation(np.arange(episodes) % folds)


def bootstrap_outside(fold: Indices, members: int, seed: int = 0) -> Indices:
    """[R * K, E] how often each episode was drawn: with replacement, as many as there are, from outside of fold k.

    With a single fold there is no outside: all episodes are drawn from.
    """
    rng, folds = np.random.default_rng(seed), int(fold.max()) + 1
    counts = np.zeros((members * folds, len(fold)), np.int64)
    for member in range(members * folds):
        outside = np.flatnonzero(fold != member % folds) if folds > 1 else np.arange(len(fold))
        counts[member, outside] = rng.multinomial(len(outside), np.full(len(outside), 1.0 / len(outside)))
    return counts


def by_those_outside(values: NDArray, fold: Indices) -> NDArray:
    """[R, n] out of [R * K, n]: of each column the members that did not see its fold [n]."""
    folds = int(fold.max()) + 1
    return values.reshape(-1, folds, values.shape[-1])[:, fold, np.arange(len(fold))]


def crossfit_fqe(
    config: FqeConfig,
    act: ActFn,
    policy: Params,
    episodes: LoggedEpisodes,
    discount: float,
    key: Array,
    *,
    folds: int = 2,
    seed: int = 0,
) -> CrossFit:
    """Fit `config.members` networks a fold to the policy's value and ask them of the fold that they did not see.

    Args:
        act, policy: the policy, of which the mode is judged. key: of the networks and batches, consumed.
        seed: of folds and bootstraps, so that candidates of one log share them.

    Raises:
        DataError: fewer episodes than folds.
    """
    fold = assign_folds(len(episodes), folds, seed)
    multiplicity = bootstrap_outside(fold, config.members, seed)[:, episodes.of_row]
    params = fit_fqe(config, act, policy, episodes, multiplicity, discount, key)
    rows, fold_of_row = episodes.rows, fold[episodes.of_row]
    action = policy_actions(act, policy, rows.obs)
    last = rows.next_obs[episodes.last]
    v = _outside(q_values(params, rows.obs, action), fold_of_row)
    return CrossFit(
        params=params,
        multiplicity=multiplicity,
        fold=fold,
        initial=v[:, episodes.starts],
        q=_outside(q_values(params, rows.obs, rows.action), fold_of_row),
        v=v,
        final=_outside(q_values(params, last, policy_actions(act, policy, last)), fold),
    )


def diagnose_crossfit(
    fit: CrossFit, act: ActFn, policy: Params, episodes: LoggedEpisodes, discount: float
) -> FqeDiagnosis:
    """Of its members, on the rows that each did not see."""
    return diagnose(fit.params, act, policy, episodes.rows, fit.multiplicity, discount)


def _outside(values: Array, fold: Indices) -> Floats:
    return np.asarray(by_those_outside(np.asarray(values, np.float64), fold))
