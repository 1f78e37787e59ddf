"""Compiler options: they are given only where XLA knows them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl import compilation


@pytest.fixture(autouse=True)
def fresh():
    compilation.small_products.cache_clear()
    yield
    compilation.small_products.cache_clear()


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(compilation, "OLDER_KERNELS", {"xla_no_such_option": "1"})
    assert compilation.small_products() is None


def test_products_are_the_same_with_the_options():
    x, w = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(16.0).reshape(2, 4, 2)
    product = jax.jit(jnp.matmul, compiler_options=compilation.small_products())(x, w)
    np.testing.assert_allclose(product, np.matmul(np.asarray(x), np.asarray(w)), rtol=1e-6)


def test_only_processors_take_them(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compilation.small_products() is None
