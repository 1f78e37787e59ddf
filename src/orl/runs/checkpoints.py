"""Checkpoints by Orbax: the newest complete one is used, the last two are kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from orl.errors import DataError

KEEP = 2


class Checkpoints:
    """The steps in one folder. Each holds named items, so that a policy can be read without its training state."""

    def __init__(self, folder: Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, enable_async_checkpointing=False)
        self._folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def latest(self) -> int | None:
        """The newest complete step, None without one."""
        return self._manager.latest_step()

    def save(self, step: int, items: Mapping[str, Any]) -> None:
        """Write `items` as `step`; returns when they are on disk. A step that is already there is left alone."""
        if step in self._manager.all_steps():
            return
        arguments = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        self._manager.save(step, args=ocp.args.Composite(**arguments))
        self._manager.wait_until_finished()

    def restore(self, step: int, **templates: Any) -> dict[str, Any]:
        """The named items of `step`, each in the shape of its template (arrays, or shapes from `jax.eval_shape`).

        Raises:
            DataError: the step is damaged, or does not fit the templates.
        """
        arguments = {name: ocp.args.StandardRestore(jax.tree.map(_abstract, tree)) for name, tree in templates.items()}
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**arguments))
            return {name: restored[name] for name in templates}
        except (ValueError, KeyError, TypeError, OSError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"cannot restore checkpoint {step} in {self._folder}: {first_line}; delete that step's folder to go on"
                " from the one before it, or start again with --force"
            ) from None

    def close(self) -> None:
        """Release Orbax's threads."""
        self._manager.close()


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def steps(folder: Path) -> list[int]:
    """The steps in a folder, newest first."""
    return sorted((int(each.name) for each in folder.iterdir() if each.name.isdigit()), reverse=True)


def delete_step(folder: Path, step: int) -> None:
    """Remove a step that nobody has open: at once, so that no half of it can be taken for a whole."""
    going = folder.with_name(f"{folder.name}.going")
    shutil.rmtree(going, ignore_errors=True)
    (folder / str(step)).rename(going)
    shutil.rmtree(going)


def read_latest(folder: Path, **templates: Any) -> tuple[int, dict[str, Any]]:
    """(step, items) of the newest checkpoint in `folder`.

    Raises:
        DataError: there is none, or it does not fit the templates.
    """
    if not folder.is_dir():
        raise DataError(f"{folder.parent} has no checkpoint yet")
    checkpoints = Checkpoints(folder)
    try:
        step = checkpoints.latest()
        if step is None:
            raise DataError(f"{folder.parent} has no complete checkpoint")
        return step, checkpoints.restore(step, **templates)
    finally:
        checkpoints.close()
