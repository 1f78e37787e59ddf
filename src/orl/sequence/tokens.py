"""A log as tokens, and the windows that training draws from them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.returns import discounted_sums
from orl.sequence.config import TransformerConfig
from orl.sequence.discretiser import Discretiser, encode_rows, fit_discretiser
from orl.types import Array

UNSEEN = 0.1  # with `timeouts = "mask"`, value tokens whose unseen part counts for more than this are left out


class Log(NamedTuple):
    """N rows of whole episodes or of one side's stretch of one, on the host; see `data.episodes.Dataset`.

    action is in [-1, 1]; last: [N] row at which each row's stretch ends; cut: [N] bool, whether it ends without a true
    end; beyond: [N] value of what follows the stretch's last observation, 0 after a true end; ahead: [N] value of what
    follows each row, 0 after a true end, or None where the log's own rewards say.
    """

    obs: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    last: NDArray[np.int64]
    cut: NDArray[np.bool_]
    beyond: NDArray[np.float32]
    ahead: NDArray[np.float32] | None = None


class TokenStore(NamedTuple):
    """A log on the device: tokens [N, D] uint8, last [N] int32, value_known [N] bool, starts [M] int32: rows at which
    windows may begin.
    """

    tokens: Array
    last: Array
    value_known: Array
    starts: Array


class Windows(NamedTuple):
    """W consecutive rows a window: tokens [B, W*D] int32, and which tokens count, [B, W*D] bool."""

    tokens: Array
    counts: Array


def replace_terminal_rewards(reward: NDArray, terminated: NDArray[np.bool_], penalty: float | None) -> NDArray:
    """Rewards [N] with those of truly terminal steps replaced by `penalty`, where there is one."""
    return reward if penalty is None else np.where(terminated, penalty, reward).astype(reward.dtype)


def rewards_to_go(
    reward: NDArray, last: NDArray[np.int64], beyond: NDArray, discount: float, *, including: bool
) -> NDArray[np.float32]:
    """[N] discounted rewards after each step, sum_{s>t} g^{s-t-1} r_s, and the value `beyond` the stretch's end.

    Including the step's own reward: r_t + g times that, the paper's R_t.

    Reference: Trajectory Transformer, arXiv:2106.02039; its code excludes the step's own reward.
    """
    rows = np.arange(len(reward))
    total = discounted_sums(reward, last, discount)
    after = np.where(rows == last, 0.0, np.append(total[1:], 0.0)) + discount ** (last - rows) * beyond
    return np.asarray(reward + discount * after if including else after, np.float32)


def value_known(log: Log, discount: float, timeouts: str) -> NDArray[np.bool_]:
    """[N] whether the value token is worth learning: with "mask", not near the end of an episode that was cut off."""
    if timeouts != "mask" or log.ahead is not None:
        return np.ones(len(log.reward), bool)
    steps_left = log.last - np.arange(len(log.reward))
    return ~log.cut | (discount**steps_left <= UNSEEN)


def columns(log: Log, config: TransformerConfig) -> NDArray[np.float32]:
    """[N, D] the numbers behind the tokens: obs, action, reward, reward-to-go."""
    reward = replace_terminal_rewards(log.reward, log.terminated, config.termination_penalty)
    including = config.reward_to_go == "including"
    if log.ahead is None:
        value = rewards_to_go(reward, log.last, log.beyond, config.discount, including=including)
    else:
        value = reward + config.discount * log.ahead if including else log.ahead
    return np.column_stack([log.obs, log.action, reward, value]).astype(np.float32)


def make_discretiser(log: Log, config: TransformerConfig) -> Discretiser:
    """Bins of the training rows; value tokens that are not known have no say."""
    rows = columns(log, config)
    known = value_known(log, config.discount, config.timeouts)
    found = fit_discretiser(rows, config.bins, config.discretiser, config.reconstruction)
    if known.all() or not known.any():
        return found
    value = fit_discretiser(rows[known, -1:], config.bins, config.discretiser, config.reconstruction)
    return Discretiser(*(x.at[-1].set(y[0]) for x, y in zip(found, value, strict=True)))


def token_store(log: Log, discretiser: Discretiser, config: TransformerConfig, *, stride: int = 1) -> TokenStore:
    """The log's tokens; windows begin at every `stride`-th row of each stretch."""
    rows = np.arange(len(log.reward))
    first = np.concatenate([[0], log.last[:-1][np.diff(log.last) != 0] + 1]) if len(rows) else rows
    stretch = np.searchsorted(first, rows, side="right") - 1
    starts = rows[(rows - first[stretch]) % stride == 0]
    return TokenStore(
        jnp.asarray(encode_rows(discretiser, columns(log, config))),
        jnp.asarray(log.last, jnp.int32),
        jnp.asarray(value_known(log, config.discount, config.timeouts)),
        jnp.asarray(starts, jnp.int32),
    )


def windows(store: TokenStore, starts: Array, length: int) -> Windows:
    """`length` transitions from each row of starts [B] on; what lies past the stretch's end does not count."""
    rows = starts[:, None] + jnp.arange(length)
    last = store.last[starts][:, None]
    inside = rows <= last
    rows = jnp.minimum(rows, last)
    tokens = store.tokens[rows].astype(jnp.int32)
    counts = jnp.broadcast_to(inside[..., None], tokens.shape)
    counts = counts.at[..., -1].set(inside & store.value_known[rows])
    return Windows(tokens.reshape(len(starts), -1), counts.reshape(len(starts), -1))
