"""Fixtures of the golden tests."""

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compiles():
    """Compile without XLA's costly passes: the values are compared up to rounding. Full precision where a GPU runs."""
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.default_matmul_precision("highest"):
        yield
    jax.config.update("jax_disable_most_optimizations", False)
