"""What memory there is: of the device, and of this machine within its limits."""

from __future__ import annotations

import jax

from orl.host_memory import held_memory, host_memory

__all__ = ["device_memory", "held_memory", "host_memory"]


def device_memory() -> int | None:
    """Bytes the accelerator lets jax use; None on CPU, and where it does not tell."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    return (device.memory_stats() or {}).get("bytes_limit")
