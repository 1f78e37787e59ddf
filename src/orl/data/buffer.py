"""A ring buffer of model transitions on the device: static shapes, functional, first in first out."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.types import Array, Transition


class Ring(NamedTuple):
    """`rows` [capacity, ...]; `head` is the next slot to write; `size` how many slots were ever written."""

    rows: Transition
    head: Array
    size: Array


def empty_ring(capacity: int, obs_dim: int, action_dim: int) -> Ring:
    """A buffer without rows."""
    zeros = jnp.zeros
    rows = Transition(
        obs=zeros((capacity, obs_dim)),
        action=zeros((capacity, action_dim)),
        reward=zeros(capacity),
        next_obs=zeros((capacity, obs_dim)),
        terminated=zeros(capacity),
    )
    return Ring(rows, jnp.asarray(0, jnp.int32), jnp.asarray(0, jnp.int32))


def insert(ring: Ring, rows: Transition, alive: Array) -> Ring:
    """Append the rows [B, ...] whose `alive` [B] is true, overwriting the oldest; dead rows never enter.

    At most `capacity` rows may be alive: callers size the buffer for at least one rollout.
    """
    capacity = ring.rows.reward.shape[0]
    position = jnp.cumsum(alive) - 1
    slot = jnp.where(alive, (ring.head + position) % capacity, capacity)  # capacity is out of range: dropped
    written = jax.tree.map(lambda old, new: old.at[slot].set(new, mode="drop"), ring.rows, rows)
    count = jnp.sum(alive).astype(jnp.int32)
    return Ring(written, (ring.head + count) % capacity, jnp.minimum(ring.size + count, capacity))


def sample(ring: Ring, key: Array, batch: int) -> Transition:
    """`batch` rows drawn uniformly with replacement from the written slots. The key is consumed."""
    return take(ring.rows, jax.random.randint(key, (batch,), 0, jnp.maximum(ring.size, 1)))


def take(rows: Transition, index: Array) -> Transition:
    """The rows at `index` [B]."""
    return jax.tree.map(lambda x: x[index], rows)
