"""A ring buffer of model transitions on the device: static shapes, functional, first in first out."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from orl.types import Array, Transition

Rows = TypeVar("Rows")


class Ring(NamedTuple):
    """`rows` [capacity, ...]; `head` is the next slot to write; `size` how many slots were ever written.

    `next_action` [capacity, A] is what the rollout did after each row, () where nobody asks for it.
    """

    rows: Transition
    head: Array
    size: Array
    next_action: Any = ()


def empty_ring(capacity: int, obs_dim: int, action_dim: int, *, next_action: bool = False) -> Ring:
    """A buffer without rows; with `next_action` it has room for what was done after each."""
    zeros = jnp.zeros
    rows = Transition(
        obs=zeros((capacity, obs_dim)),
        action=zeros((capacity, action_dim)),
        reward=zeros(capacity),
        next_obs=zeros((capacity, obs_dim)),
        terminated=zeros(capacity),
    )
    following = zeros((capacity, action_dim)) if next_action else ()
    return Ring(rows, jnp.asarray(0, jnp.int32), jnp.asarray(0, jnp.int32), following)


def insert(ring: Ring, rows: Transition, alive: Array, next_action: Any = ()) -> Ring:
    """Append the rows [B, ...] whose `alive` [B] is true, overwriting the oldest; dead rows never enter.

    At most `capacity` rows may be alive: callers size the buffer for at least one rollout. `next_action` [B, A] goes
    with the rows where the buffer has room for it.
    """
    capacity = ring.rows.reward.shape[0]
    position = jnp.cumsum(alive) - 1
    slot = jnp.where(alive, (ring.head + position) % capacity, capacity)  # capacity is out of range: dropped
    old, new = (ring.rows, ring.next_action), (rows, next_action)
    written, following = jax.tree.map(lambda there, row: there.at[slot].set(row, mode="drop"), old, new)
    count = jnp.sum(alive).astype(jnp.int32)
    return Ring(written, (ring.head + count) % capacity, jnp.minimum(ring.size + count, capacity), following)


def sample_slots(ring: Ring, key: Array, batch: int) -> Array:
    """[batch] numbers of written slots, uniformly with replacement. The key is consumed."""
    return jax.random.randint(key, (batch,), 0, jnp.maximum(ring.size, 1))


def sample(ring: Ring, key: Array, batch: int) -> Transition:
    """`batch` rows drawn uniformly with replacement from the written slots. The key is consumed."""
    return take(ring.rows, sample_slots(ring, key, batch))


def take(rows: Rows, index: Array) -> Rows:
    """The rows at `index` [B] of every array in a tree."""
    return jax.tree.map(lambda x: x[index], rows)
