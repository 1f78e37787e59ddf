"""Logs of any layout for property tests: how long their episodes are, how each ended, and values of every size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

TERMINATED, TIMEOUT, BOTH, CUT = "terminated", "timeout", "both", "cut"
ODD = np.array([0.0, -0.0, 1e-42, -1.1754944e-38, 3e38, 16777217.0, 1 / 3, -1e-7], np.float32)


class Layout(NamedTuple):
    """Lengths [E] of episodes, how each ended, sizes of the observation's fields, and the seed of the values."""

    lengths: tuple[int, ...]
    ends: tuple[str, ...]
    fields: tuple[int, ...]
    seed: int


class Log(NamedTuple):
    """Rows [N, ...]; column 0 of obs and next_obs is the number of the episode. `ended` [N] is how a last row did."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_obs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episode: np.ndarray
    t: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """[N] whether a row is its episode's last."""
        return np.append(np.diff(self.episode) != 0, True)


@st.composite
def layouts(draw: st.DrawFn, cuts: str = "all") -> Layout:
    """Layouts; `cuts` says which episodes may end without a flag: "all", or only the "last" one."""
    lengths = tuple(draw(st.lists(st.one_of(st.just(1), st.integers(1, 30)), min_size=1, max_size=7)))
    flagged = st.sampled_from([TERMINATED, TIMEOUT, BOTH])
    ends = [draw(flagged if cuts == "last" else flagged | st.just(CUT)) for _ in lengths]
    ends[-1] = draw(flagged | st.just(CUT))
    return Layout(lengths, tuple(ends), tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))), draw(_SEEDS))


_SEEDS = st.integers(0, 2**31)


def make_log(layout: Layout) -> Log:
    """The rows of a layout; flags are those a recorder writes, so a cut has none."""
    rng, rows = np.random.default_rng(layout.seed), []
    for episode, (length, end) in enumerate(zip(layout.lengths, layout.ends, strict=True)):
        states = _values(rng, (length + 1, sum(layout.fields)))
        states[:, 0] = episode
        action, reward = rng.uniform(-1, 1, (length, 2)).astype(np.float32), _values(rng, (length,))
        last = np.arange(length) == length - 1
        flags = last & (end in (TERMINATED, BOTH)), last & (end in (TIMEOUT, BOTH))
        rows.append((states[:-1], action, reward, states[1:], *flags, np.full(length, episode), np.arange(length)))
    return Log(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of sizes from 1e-6 to 1e6, and now and then an odd one."""
    plain = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)
    return np.where(rng.random(shape) < 0.1, rng.choice(ODD, shape), plain).astype(np.float32)


def bits(array: np.ndarray) -> list:
    """float32 as whole numbers, for a comparison in which -0 is not 0."""
    assert array.dtype == np.float32
    return np.ascontiguousarray(array).view(np.uint32).tolist()
