"""Rows worked on some at a time: the same rows in the same order, whatever is left over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.chunks import map_chunks


@pytest.mark.parametrize("size", [None, 1, 3, 4, 6, 7, 12, 13])
def test_chunks_give_what_the_whole_gives(size):
    """12 rows: chunks that divide them, that leave some over, and that are larger."""
    rows = {"a": jnp.arange(12.0), "b": jnp.arange(24.0).reshape(12, 2)}
    done = jax.jit(lambda rows: map_chunks(lambda r: (r["a"] ** 2, r["b"] + r["a"][:, None]), rows, size))(rows)
    a = np.arange(12.0)
    np.testing.assert_array_equal(done[0], a**2)
    np.testing.assert_array_equal(done[1], np.arange(24.0).reshape(12, 2) + a[:, None])


def test_no_call_sees_more_rows_than_allowed():
    seen = []

    def spy(x):
        seen.append(x.shape[0])
        return x

    map_chunks(spy, jnp.arange(10), 4)
    assert sorted(seen) == [2, 4]
