"""A sequence model that says what a table says, and worlds for it that can be solved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.planning.base import History, Trajectory
from orl.planning.beam import BeamConfig, make_beam
from orl.sequence.config import TransformerConfig
from orl.sequence.discretiser import Discretiser
from orl.sequence.gpt import MASKED
from orl.sequence.layout import Layout
from orl.sequence.model import SequenceParams
from orl.types import Array

DISCOUNT = 0.5


class Tables(NamedTuple):
    """Logits of the next token: action [S, V]; reward and value [S, A, V]; the next state's obs [S, A, V]."""

    action: Array
    reward: Array
    value: Array
    obs: Array


class Read(NamedTuple):
    """The cache of R rows: tokens [R, T], the first `written` of them read."""

    tokens: Array
    written: Array


@dataclass(frozen=True, eq=False)
class Tabular:
    """Stands in for a `SequenceModel` with one observation and one action token.

    It answers NaN out of turn (another dimension than the next), past its room, and once it was forked or adopted with
    room left. `seen` is told the tokens of every row that is adopted. Padding goes unheeded.
    """

    config: TransformerConfig
    seen: Callable[[NDArray], None] | None = None
    layout: ClassVar[Layout] = Layout(1, 1)
    obs_dim: ClassVar[int] = 1
    action_dim: ClassVar[int] = 1

    def next_logits(self, params: SequenceParams, hidden: Array, dim: Array | int) -> Array:
        """[R, V] from the table of `dim`; hidden is the last four tokens and the dimension of the next one."""
        tables, h = params.net, hidden
        choices = (
            tables.obs[h[:, 0], h[:, 1]],
            tables.action[h[:, 3]],
            tables.reward[h[:, 2], h[:, 3]],
            tables.value[h[:, 1], h[:, 2]],
        )
        return jnp.where(h[:, 4:] == dim, jnp.stack(choices)[jnp.asarray(dim)], jnp.nan)

    def start(self, params: SequenceParams, tokens: Array, padding: Array) -> tuple[Read, Array]:
        """Read tokens [B, T]."""
        cache = Read(tokens, jnp.asarray(tokens.shape[1]))
        return cache, self._hidden(cache)

    def fork(self, cache: Read, hidden: Array, times: int, room: int) -> tuple[Read, Array]:
        """Each row `times` over, with room for more."""
        tokens = jnp.pad(jnp.repeat(cache.tokens, times, axis=0), ((0, 0), (0, room)))
        return Read(tokens, self._full(cache)), jnp.repeat(hidden, times, axis=0)

    def feed(self, params: SequenceParams, cache: Read, tokens: Array) -> tuple[Read, Array]:
        """Read a token a row."""
        cache = Read(cache.tokens.at[:, cache.written].set(tokens, mode="drop"), cache.written + 1)
        return cache, self._hidden(cache)

    def adopt(self, cache: Read, hidden: Array, rows: Array) -> tuple[Read, Array]:
        """Some rows."""
        if self.seen is not None:
            jax.debug.callback(self.seen, cache.tokens[rows])
        return Read(cache.tokens[rows], self._full(cache)), hidden[rows]

    def _full(self, cache: Read) -> Array:
        return jnp.where(cache.written == cache.tokens.shape[1], cache.written, 10**6)

    def _hidden(self, cache: Read) -> Array:
        padded = jnp.pad(cache.tokens, ((0, 0), (4, 0)))
        last = jax.lax.dynamic_slice_in_dim(padded, cache.written, 4, axis=1)
        turn = jnp.where(cache.written > cache.tokens.shape[1], -1, cache.written % 4)
        return jnp.concatenate([last, jnp.broadcast_to(turn, (last.shape[0], 1))], axis=1)


class World(NamedTuple):
    """A deterministic MDP: next state, reward and value token's number of (s, a), each [S, A]."""

    next: NDArray[np.int64]
    reward: NDArray[np.float32]
    value: NDArray[np.float32]


def sure(tokens: ArrayLike, vocab: int) -> Array:
    """[..., V] logits that leave no choice."""
    return chances(np.eye(vocab)[np.asarray(tokens)], vocab)


def chances(probs: ArrayLike, vocab: int) -> Array:
    """[..., V] logits of probabilities [..., P], P at most V."""
    probs = np.asarray(probs, np.float32)
    out = np.full((*probs.shape[:-1], vocab), MASKED, np.float32)
    np.log(probs, out=out[..., : probs.shape[-1]], where=probs > 0)
    return jnp.asarray(out)


def told(world: World, policy: ArrayLike | None = None) -> SequenceParams:
    """What `Tabular` needs to say the world's outcomes; actions by `policy` [S, A], evenly without.

    State s is s + 1/2 as a number, actions lie evenly in [-1, 1]; token s A + a of rewards and of values is (s, a)'s.
    """
    states, actions = world.next.shape
    size = states * actions
    which = np.arange(size).reshape(states, actions)
    policy = np.full((states, actions), 1 / actions) if policy is None else policy
    tables = Tables(chances(policy, size), sure(which, size), sure(which, size), sure(world.next, size))
    return SequenceParams(tables, bins_of(states, actions, world.reward.ravel(), world.value.ravel()))


def bins_of(states: int, actions: int, reward: ArrayLike, value: ArrayLike) -> Discretiser:
    """The bins of `told`: rewards and values [V] are what their tokens stand for."""
    size = len(np.asarray(reward))
    edges = np.full((4, size + 1), np.inf, np.float32)
    edges[0, : states + 1], edges[1, : actions + 1] = np.arange(states + 1), np.linspace(-1, 1, actions + 1)
    edges[2:] = np.arange(size + 1)
    centres = np.zeros((4, size), np.float32)
    centres[0, :states], centres[1, :actions] = np.arange(states) + 0.5, action_numbers(actions)
    centres[2], centres[3] = reward, value
    counts = jnp.asarray([states, actions, size, size], jnp.int32)
    return Discretiser(jnp.asarray(edges), jnp.asarray(centres), counts)


def action_numbers(actions: int) -> NDArray[np.float64]:
    """[A] what the action tokens of `told` stand for."""
    return (np.arange(actions) + 0.5) * 2 / actions - 1


def from_states(states: ArrayLike, context: int = 0) -> History:
    """Episodes that stand in the given states; `context` past steps that tell nothing."""
    now = np.asarray(states, np.float32)[:, None] + 0.5
    b, past = len(now), np.full((len(now), context), 0.5, np.float32)
    parts = past[..., None], past[..., None], past, now, np.full(b, context, np.int32), np.zeros((b, 1, 1), np.float32)
    return History(*map(jnp.asarray, parts))


def tabular(seen: Callable[[NDArray], None] | None = None, **settings: Any) -> Tabular:
    """A model with room for four transitions."""
    return Tabular(TransformerConfig(**({"window": 4, "discount": DISCOUNT} | settings)), seen)


def beam(model: Tabular | None = None, **settings: Any) -> Any:
    """A compiled beam search; without settings that say otherwise every action may be planned."""
    config = BeamConfig(**({"context": 0, "cdf_act": 0.0, "n_expand": 2} | settings))
    return jax.jit(make_beam(config, model or tabular()))


def places(trajectory: Trajectory, actions: int) -> tuple[NDArray, NDArray]:
    """[B, H] states and actions, of which there are `actions`."""
    chosen = np.rint((np.asarray(trajectory.action)[..., 0] + 1) * actions / 2 - 0.5).astype(int)
    np.testing.assert_allclose(action_numbers(actions)[chosen], trajectory.action[..., 0], atol=1e-6)
    return np.floor(trajectory.obs[..., 0]).astype(int), chosen
