"""Options of XLA that a program is better compiled with."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp

# Which products go to XLA's newer CPU kernels. With none of them, batches of small products (7 x 256 x 200 x 200)
# run at 186 GFLOP/s instead of 120 on two cores, a fit by an eighth faster; attention and batched seeds prefer them.
OLDER_KERNELS = {"xla_cpu_experimental_ynn_fusion_type": ""}


@cache
def small_products() -> dict[str, str] | None:
    """`compiler_options` for `jax.jit` of a program of small batched products; None where XLA has no such choice."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(jnp.negative, compiler_options=OLDER_KERNELS).lower(jnp.zeros(())).compile()
    except RuntimeError:  # an option of another version of XLA
        return None
    return OLDER_KERNELS
