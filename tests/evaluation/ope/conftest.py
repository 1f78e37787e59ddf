"""Fixtures of the tests of off-policy estimators."""

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compiles():
    """Compile without XLA's costly passes: for tests that compare values, not bits of the optimised program."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
