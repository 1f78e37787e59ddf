"""Checkpoints: written beside, put on disk, sealed and renamed; the newest one whose seal fits its files is used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from orl.documents import brief
from orl.errors import DataError, is_out_of_memory
from orl.files import TEMPORARY, publish_folder, remove_folder, saving, storage_error, sweep, sync_file, unwritable
from orl.runs.orbax_reports import unlogged, unreported
from orl.runs.seals import fault, newest, seal, steps

KEEP = 2


class Checkpoints:
    """The steps in one folder, for whoever has it to himself. Each holds named items, so that a policy can be read
    without its training state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._orbax = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
        with saving(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            sweep(self._folder)
            self._drop_surplus()

    def latest(self) -> int | None:
        """The newest step whose files are what was written, None where there are no steps.

        Newer ones that are damaged are passed over, with a warning.

        Raises:
            DataError: every step is damaged.
        """
        return newest(self._folder)

    def save(self, step: int, items: Mapping[str, Any]) -> None:
        """Write `items` as `step`; returns when they are on disk. A sound step that is already there is left alone.

        The rows of the logs beside the folder are put on disk first: a step stands for them. Later steps, which were
        passed over, go, and earlier ones but the last.

        Raises:
            UnwritableError: the disk is full or read-only; the steps before are kept.
        """
        target = self._folder / str(step)
        if target.exists():
            if fault(target) is None:
                return
            remove_folder(target)
        building = self._folder / f"{TEMPORARY}{step}"
        arguments = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        try:
            with saving(target):
                for log in self._folder.parent.glob("*.jsonl"):
                    sync_file(log)
                self._write(building, ocp.args.Composite(**arguments), target)
                seal(building)
                publish_folder(building, target)
        except BaseException:
            sweep(self._folder)
            raise
        found = steps(self._folder)
        kept = found[found.index(step) :][:KEEP]
        for other in found:
            if other not in kept:
                remove_folder(self._folder / str(other))

    def _drop_surplus(self) -> None:
        """What a save that was killed after its step appeared had still to remove: all before the last sound ones."""
        found = steps(self._folder)
        if len(found) > KEEP:
            sound = [step for step in found if fault(self._folder / str(step)) is None][:KEEP]
            for step in found[found.index(sound[-1]) + 1 :] if len(sound) == KEEP else []:
                remove_folder(self._folder / str(step))

    def restore(self, step: int, **templates: Any) -> dict[str, Any]:
        """The named items of `step`, each in the shape of its template (arrays, or shapes from `jax.eval_shape`).

        Raises:
            DataError: the step is damaged, or does not fit the templates.
        """
        return _restore(self._orbax, self._folder, step, templates)

    def close(self) -> None:
        """Release Orbax's threads."""
        self._orbax.close()

    def _write(self, building: Path, arguments: Any, target: Path) -> None:
        try:
            with unlogged(), unreported():
                self._orbax.save(building, args=arguments)
        except ValueError as error:  # tensorstore's way of saying what the system said
            if (cause := storage_error(str(error))) is None:
                raise
            raise unwritable(target, cause) from None


def read_latest(folder: Path, **templates: Any) -> tuple[int, dict[str, Any]]:
    """(step, items) of the newest sound checkpoint in `folder`, which is not changed.

    Raises:
        DataError: there is none, or it does not fit the templates.
    """
    if not folder.is_dir():
        raise DataError(f"{folder.parent} has no checkpoint yet")
    step = newest(folder, tuple(templates))
    if step is None:
        raise DataError(f"{folder.parent} has no complete checkpoint")
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        return step, _restore(orbax, folder.absolute(), step, templates)


def _restore(orbax: ocp.Checkpointer, folder: Path, step: int, templates: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {name: ocp.args.StandardRestore(jax.tree.map(_abstract, tree)) for name, tree in templates.items()}
    try:
        with unreported():
            restored = orbax.restore(folder / str(step), args=ocp.args.Composite(**arguments))
        return {name: restored[name] for name in templates}
    except Exception as error:  # what Orbax and TensorStore raise over damaged files is of no one kind
        if is_out_of_memory(error):
            raise
        what = _difference(folder / str(step), templates) or _first_line(error)
        raise DataError(
            f"cannot restore checkpoint {step} in {folder}: {what}; delete that step's folder to go on"
            " from the one before it, or start again with --force"
        ) from None


def _first_line(error: Exception) -> str:
    return brief(str(error)) or type(error).__name__


def _difference(step: Path, templates: Mapping[str, Any]) -> str | None:
    """The first array that is not the same in a step and in the templates, None where none is, or none can be read."""
    for item, template in templates.items():
        if not (step / item).is_dir():
            return f"it has no item {item}"
        try:
            with ocp.StandardCheckpointer() as orbax:
                stored = _shapes(orbax.metadata(step / item).item_metadata.tree)
        except Exception:  # as in `_restore`
            return None
        wanted = _shapes(template)
        for name in wanted | stored:
            there, now = (each.get(name, "absent") for each in (stored, wanted))
            if there != now:
                return f"{item}/{name} is {there} there and {now} now"
    return None


def _shapes(tree: Any) -> dict[str, str]:
    """'float32 [2, 3]' of every array in a tree, by its path; a named tuple counts as a dictionary."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
    return {name(path): f"{leaf.dtype} {list(leaf.shape)}" for path, leaf in leaves}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
