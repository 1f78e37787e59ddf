"""Doubly robust estimates: a fitted Q carries the value, importance weights correct it by what was logged.

With the exact Q the weights may be anything, with exact weights Q may be: the bias is 0 either way. V(s) is
Q(s, pi(s)), also where the weights are those of a smoothed policy: what smoothing costs is then taken out again as far
as Q is right, for sum_t discount^t E[V(s_t) - Q(s_t, a_t)] along the smoothed policy is the value that it lacks.

References: Jiang & Li, arXiv:1511.03722 (the recursion); Thomas & Brunskill, arXiv:1604.00923 (weighted).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.evaluation.ope.importance import discounts, relative_weights, weighted_means
from orl.evaluation.ope.types import Floats, LoggedEpisodes


def doubly_robust(
    log_ratio: NDArray, q: NDArray, v: NDArray, final: NDArray, episodes: LoggedEpisodes, discount: float
) -> Floats:
    """[R, E] V(s_0) + rho_0 (r_0 + discount * DR_1 - Q(s_0, a_0)) and so on: eq. 10 of arXiv:1511.03722.

    DR behind a true end is 0, behind a cut V of the final observation.

    Args:
        log_ratio: [N] log pi(a_t|s_t) / beta(a_t|s_t), or [R, N]. q, v: [R, N] Q(s_t, a_t) and V(s_t).
        final: [R, E] V of the observation after each last step. discount: per step.
    """
    q, v, final = (np.atleast_2d(np.asarray(x, np.float64)) for x in (q, v, final))
    ahead = np.where(episodes.cut, final, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # weights may exceed what a float holds: no number, and said so
        ratio = np.broadcast_to(np.exp(np.asarray(log_ratio, np.float64)), q.shape)
        for step in range(int(episodes.lengths.max()) - 1, -1, -1):
            live = np.flatnonzero(episodes.lengths > step)
            row = episodes.starts[live] + step
            surprise = episodes.reward[row] + discount * ahead[:, live] - q[:, row]
            ahead[:, live] = v[:, row] + ratio[:, row] * surprise
    return ahead


def weighted_doubly_robust(
    log_weights: Floats,
    q: NDArray,
    v: NDArray,
    final: NDArray,
    episodes: LoggedEpisodes,
    discount: float,
    counts: NDArray[np.integer] | None = None,
) -> Floats:
    """[draws] sum_t discount^t sum_e (w_t (r_t - Q_t) + w_{t-1} V_t), weights normalised over episodes at each step.

    w_{-1} is the same for all. A cut episode of length L adds discount^L w_{L-1} V(final observation).

    Args:
        log_weights: [E, T] log w_{0:t}. q, v: [N] Q(s_t, a_t) and V(s_t). final: [E].
        counts: [draws, E] how often each bootstrap holds each episode; None for one of each.
    """
    now, before = _weights(log_weights)
    surprise, value = _parts(q, v, final, episodes, discount)
    mean = weighted_means(now, surprise, counts) + weighted_means(before, value, counts)
    return mean @ discounts(episodes, discount)


def weighted_shares(
    log_weights: Floats, q: NDArray, v: NDArray, final: NDArray, episodes: LoggedEpisodes, discount: float
) -> Floats:
    """[R, E] what each episode puts into the weighted estimate of each member, E times over: it is their mean.

    Args:
        q, v: [R, N]. final: [R, E].
    """
    now, before = (len(episodes) * weights / weights.sum(axis=0) for weights in _weights(log_weights))
    parts = [_parts(*member, episodes, discount) for member in zip(q, v, final, strict=True)]
    gamma = discounts(episodes, discount)
    return np.stack([(now * surprise + before * value) @ gamma for surprise, value in parts])


def _weights(log_weights: Floats) -> tuple[Floats, Floats]:
    """Relative w_{0:t} and w_{0:t-1}, each [E, T]."""
    now = relative_weights(log_weights)
    return now, np.concatenate([np.ones((len(now), 1)), now[:, :-1]], axis=1)


def _parts(q: NDArray, v: NDArray, final: NDArray, episodes: LoggedEpisodes, discount: float) -> tuple[Floats, Floats]:
    """r_t - Q_t, with what lies behind a cut, and V_t, each [E, T]."""
    surprise = episodes.completed_reward(discount, final) - np.asarray(q, np.float64)
    return episodes.by_step(surprise), episodes.by_step(np.asarray(v, np.float64))
