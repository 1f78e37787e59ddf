"""The policy as StableHLO: the reference's own program, for any batch, in jax.export's portable form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import export

from orl.deployment.description import memory_size
from orl.deployment.reference import Deployed
from orl.types import Spec

PLATFORMS = ("cpu", "cuda", "tpu")


def stablehlo_bytes(deployed: Deployed, spec: Spec) -> bytes:
    """The serialised program of obs [batch, O], and with a history of memory [batch, M]; its parameters are in it.

    Products are in full float32 on every platform, which accelerators would not do by themselves.
    """
    (batch,) = export.symbolic_shape("batch")
    sizes = [spec.obs_dim, memory_size(spec)] if spec.history else [spec.obs_dim]
    inputs = [jax.ShapeDtypeStruct((batch, size), jnp.float32) for size in sizes]
    with jax.default_matmul_precision("highest"):
        return bytes(export.export(jax.jit(deployed), platforms=PLATFORMS)(*inputs).serialize())
