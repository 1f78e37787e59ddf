"""The ring buffer against a Python list that keeps the newest rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.data.buffer import Ring, empty_ring, insert, sample, take
from orl.types import Transition

SENTINEL = -777.0
jitted_insert, jitted_sample = jax.jit(insert), jax.jit(sample, static_argnums=2)


def rows(ids: np.ndarray) -> Transition:
    """Transitions whose every field tells their id: obs (id, id + 1), action 2 id, reward 3 id and so on."""
    x = jnp.asarray(ids, jnp.float32)
    return Transition(
        obs=jnp.stack([x, x + 1], axis=-1),
        action=2 * x[:, None],
        reward=3 * x,
        next_obs=jnp.stack([4 * x, 5 * x], axis=-1),
        terminated=(x % 2).astype(jnp.float32),
    )


def sentinel_ring(capacity: int) -> Ring:
    """An empty ring whose unwritten slots hold a value that no row has."""
    ring = empty_ring(capacity, 2, 1)
    return ring._replace(rows=jax.tree.map(lambda x: jnp.full_like(x, SENTINEL), ring.rows))


def test_rows_fill_the_slots_in_order_and_wrap_around() -> None:
    """By hand, capacity 5: ids 1-3, then 4-7 of which 6 is dead; 7 lands in slot 0 over 1."""
    ring = jitted_insert(sentinel_ring(5), rows(np.arange(1, 4)), jnp.ones(3, bool))
    np.testing.assert_array_equal(ring.rows.obs[:, 0], [1, 2, 3, SENTINEL, SENTINEL])
    assert (int(ring.head), int(ring.size)) == (3, 3)
    ring = jitted_insert(ring, rows(np.arange(4, 8)), jnp.asarray([True, True, False, True]))
    np.testing.assert_array_equal(ring.rows.obs[:, 0], [7, 2, 3, 4, 5])
    np.testing.assert_array_equal(ring.rows.reward, [21, 6, 9, 12, 15])
    assert (int(ring.head), int(ring.size)) == (1, 5)


def test_next_actions_stay_beside_their_rows() -> None:
    """By hand, capacity 3: next action 7 id; of ids 1-4 the second is dead, and 5 lands over 1."""
    ring = empty_ring(3, 2, 1, next_action=True)
    assert empty_ring(3, 2, 1).next_action == ()
    for ids, alive in (((1, 2, 3, 4), (True, False, True, True)), ((5,), (True,))):
        given = 7.0 * jnp.asarray(ids, jnp.float32)[:, None]
        ring = jitted_insert(ring, rows(np.asarray(ids)), jnp.asarray(alive), given)
    np.testing.assert_array_equal(ring.rows.obs[:, 0], [5, 3, 4])
    np.testing.assert_array_equal(ring.next_action[:, 0], [35, 21, 28])


@pytest.mark.parametrize("seed", range(6))
def test_the_buffer_holds_the_newest_live_rows(seed: int) -> None:
    """Random insertions with random dead rows: contents, slots, head and size equal a list's, field by field."""
    rng = np.random.default_rng(seed)
    capacity = int(rng.integers(4, 12))
    ring, slots, written = sentinel_ring(capacity), [SENTINEL] * capacity, 0
    for _ in range(12):
        batch = 4
        ids, alive = rng.integers(1, 1000, batch), rng.random(batch) < rng.random()
        ring = jitted_insert(ring, rows(ids), jnp.asarray(alive))
        for row in ids[alive]:
            slots[written % capacity] = float(row)
            written += 1
        assert (int(ring.head), int(ring.size)) == (written % capacity, min(written, capacity))
        filled = min(written, capacity)
        expected = rows(np.asarray(slots[:filled]))
        jax.tree.map(lambda x, y, n=filled: np.testing.assert_array_equal(x[:n], y), ring.rows, expected)
        for field in ring.rows:
            assert np.all(np.asarray(field)[filled:] == SENTINEL)


def test_a_full_buffer_takes_a_whole_capacity_at_once() -> None:
    """As many live rows as slots replace everything, from wherever the head stands."""
    ring = jitted_insert(sentinel_ring(4), rows(np.asarray([1, 2, 3])), jnp.ones(3, bool))
    ring = jitted_insert(ring, rows(np.asarray([4, 5, 6, 7])), jnp.ones(4, bool))
    np.testing.assert_array_equal(ring.rows.obs[:, 0], [5, 6, 7, 4])
    assert (int(ring.head), int(ring.size)) == (3, 4)


def test_only_dead_rows_change_nothing() -> None:
    """No live row: every slot, the head and the size stay."""
    ring = jitted_insert(sentinel_ring(4), rows(np.asarray([1, 2])), jnp.ones(2, bool))
    after = jitted_insert(ring, rows(np.asarray([8, 9])), jnp.zeros(2, bool))
    jax.tree.map(np.testing.assert_array_equal, after, ring)


def test_dead_rows_may_hold_anything() -> None:
    """A NaN in a dead row does not reach a slot."""
    bad = jax.tree.map(lambda x: x.at[1].set(jnp.nan), rows(np.asarray([1, 2, 3])))
    ring = jitted_insert(sentinel_ring(4), bad, jnp.asarray([True, False, True]))
    np.testing.assert_array_equal(ring.rows.obs[:2, 0], [1, 3])
    assert all(np.isfinite(field).all() for field in ring.rows)


@pytest.mark.parametrize("inserted", [1, 3, 7, 8, 11])
def test_samples_are_whole_rows_that_were_written(inserted: int) -> None:
    """Peer bug 1: unifloral drew all-zero rows from slots never written. Ours are uniform over the written ones."""
    ring = sentinel_ring(8)
    for row in range(1, inserted + 1):
        ring = jitted_insert(ring, rows(np.asarray([row, 555])), jnp.asarray([True, False]))
    drawn = jitted_sample(ring, jax.random.key(inserted), 4000)
    ids = np.asarray(drawn.obs[:, 0])
    kept = np.arange(max(1, inserted - 7), inserted + 1)
    assert set(ids.tolist()) == set(kept.astype(float).tolist())
    jax.tree.map(np.testing.assert_array_equal, drawn, rows(ids))
    shares = np.asarray([(ids == row).mean() for row in kept])
    np.testing.assert_allclose(shares, 1 / len(kept), atol=0.035)  # 4.4 standard errors at worst


def test_take_picks_rows_by_index() -> None:
    """All fields by the same index, repeats allowed."""
    picked = take(rows(np.asarray([10, 20, 30])), jnp.asarray([2, 0, 2]))
    jax.tree.map(np.testing.assert_array_equal, picked, rows(np.asarray([30, 10, 30])))
