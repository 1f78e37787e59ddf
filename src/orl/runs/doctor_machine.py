"""The machine: devices and a program compiled on them, memory, cores, and where compiled programs are kept."""

from __future__ import annotations

import os
from pathlib import Path

from orl.host_memory import host_memory, size, usable_cores
from orl.runs.doctor import Check, State, said

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# What changes where things are found and computed; a report of a fault is not complete without them.
VARIABLES = ("JAX_PLATFORMS", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "MINARI_DATASETS_PATH", "ORL_RUNS", "MUJOCO_GL")


def devices() -> list[Check]:
    """The devices that jax uses, after a small program ran on the first; and a GPU that lies idle."""
    import jax
    import jax.numpy as jnp

    try:
        found = jax.devices()
        total = float(jax.jit(lambda x: (x @ x).sum())(jnp.ones((8, 8))))
    except Exception as error:
        remedy = "unset JAX_PLATFORMS, or choose with --device cpu" if os.environ.get("JAX_PLATFORMS") else None
        return [Check("machine", "devices", State.fault, said(error), remedy)]
    kinds = f"{len(found)} x {found[0].device_kind} ({found[0].platform})"
    if total != 512.0:
        return [Check("machine", "devices", State.fault, f"{kinds}: sums 512 products of ones to {total}")]
    checks = [Check("machine", "devices", State.ok, kinds)]
    if found[0].platform == "cpu" and NVIDIA_DRIVER.exists() and "cpu" not in os.environ.get("JAX_PLATFORMS", ""):
        checks.append(
            Check("machine", "gpu", State.note, "is here, but jax does not use it", "pip install 'orl[cuda]'")
        )
    return checks


def memory_and_cores(jax_imports: bool) -> list[Check]:
    """What this process may have, within the limits it runs under."""
    host = host_memory()
    usable, there = usable_cores(), os.cpu_count() or 1
    held = "" if usable == there else f" of {there}"
    checks = [
        Check("machine", "memory", State.ok, "the system does not tell" if host is None else f"{size(host)} free"),
        Check("machine", "cores", State.ok, f"{usable}{held}"),
    ]
    if jax_imports and (device := _device_memory()) is not None:
        checks.insert(1, Check("machine", "device memory", State.ok, size(device)))
    return checks


def cache(folder: Path) -> Check:
    """The folder of compiled programs: without it every start compiles anew."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    held = f"{size(sum(path.stat().st_size for path in files))} in {len(files)} files" if files else "empty"
    if not is_writable(folder):
        remedy = "make it writable, or name another with JAX_COMPILATION_CACHE_DIR"
        return Check("machine", "compilation cache", State.note, f"{folder} cannot be written to", remedy)
    return Check("machine", "compilation cache", State.ok, f"{folder}: {held}")


def variables() -> list[Check]:
    """Those of the process that change what is found and computed; none where none is set."""
    return [Check("machine", name, State.ok, value) for name in VARIABLES if (value := os.environ.get(name))]


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder that is there, or that could be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _device_memory() -> int | None:
    from orl.runs.machine import device_memory

    try:
        return device_memory()
    except RuntimeError:  # there is no device, which `devices` says
        return None
