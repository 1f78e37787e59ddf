"""Seals: which files a checkpoint consists of, written last, so that one cut short or damaged is told apart."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

from orl.documents import parse_json
from orl.errors import DataError

SEAL = "seal.json"  # written last: sizes and CRC-32 of every file of a step
CHUNK = 2**20  # bytes read at a time
PLACE = "commit_success.txt"  # Orbax's note of where a step lay when it was written: nothing that whoever gets it needs


def steps(folder: Path) -> list[int]:
    """The steps in a folder, newest first, damaged ones among them."""
    names = [each.name for each in folder.iterdir()]
    return sorted((int(name) for name in names if name.isascii() and name.isdigit()), reverse=True)


def newest(folder: Path, items: tuple[str, ...] = ()) -> int | None:
    """The newest step with nothing wrong in `items` (in anything, by default); damaged ones are told and passed over.

    Raises:
        DataError: there are checkpoints, and all of them are damaged.
    """
    found = steps(folder)
    for step in found:
        wrong = fault(folder / str(step), items)
        if wrong is None:
            return step
        warnings.warn(f"checkpoint {step} in {folder} is passed over: {wrong}", stacklevel=3)
    if found:
        raise DataError(
            f"cannot restore checkpoint {found[0]} in {folder}, nor one before it: the files are damaged; start again"
            " with --force"
        )
    return None


def fault(step: Path, items: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the files of a step (of these items alone, if any are named), None where nothing is.

    Steps from before there were seals count as sound, and items that a copy was made without are no fault.
    """
    seal = step / SEAL
    if not seal.exists():
        return None if (step / "_CHECKPOINT_METADATA").exists() else "it is not complete"
    try:
        files = parse_json(seal.read_bytes())["files"]
        for name, (size, checksum) in files.items():
            item = name.split("/")[0]
            if (items and item not in items) or not (step / item).exists():
                continue
            if not (step / name).is_file():
                return f"{name} is missing"
            if (step / name).stat().st_size != size or _checksum(step / name) != checksum:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{SEAL} cannot be read ({type(error).__name__})"
    return None


def seal(step: Path) -> None:
    """Write down what the files of a step are, and drop from it which folder of which machine it was written in."""
    for each in step.rglob(PLACE):
        each.unlink()
    (step / SEAL).unlink(missing_ok=True)
    files = {str(each.relative_to(step)): [each.stat().st_size, _checksum(each)] for each in _files(step)}
    (step / SEAL).write_text(json.dumps({"files": files}), encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    return (each for each in sorted(folder.rglob("*")) if each.is_file())


def _checksum(file: Path) -> int:
    """CRC-32 of a file, read piece by piece."""
    value = 0
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            value = zlib.crc32(piece, value)
    return value
