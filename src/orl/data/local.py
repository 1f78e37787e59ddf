"""Where Minari keeps its datasets on this machine, and what their metadata say."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any

from orl.errors import DataError

_ID = re.compile(r"[-\w]+(?:/[-\w]+)*-v\d+")


def datasets_path() -> Path:
    """The folder of local Minari datasets: ``MINARI_DATASETS_PATH``, or ``~/.minari/datasets``."""
    given = os.environ.get("MINARI_DATASETS_PATH")
    return Path(given) if given else Path.home() / ".minari" / "datasets"


def is_dataset_id(name: str) -> bool:
    """Whether `name` has the form of a Minari id, ``(namespace/)name-v0``. Dots, so also ``..``, never match."""
    return _ID.fullmatch(name) is not None


def data_folder(dataset_id: str) -> Path:
    """The folder that holds ``metadata.json`` and ``main_data.hdf5`` of `dataset_id`, present or not.

    Raises:
        DataError: not the form of an id; this also keeps an id from leaving the datasets folder.
    """
    if not is_dataset_id(dataset_id):
        raise DataError(f"'{dataset_id}' is not a dataset id; ids look like mujoco/hopper/medium-v0 (with a version)")
    return datasets_path() / dataset_id / "data"


def local_ids() -> list[str]:
    """Ids of the datasets on disk, sorted. Hidden folders, where recordings in progress live, are left out."""
    root, found = datasets_path(), []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if "metadata.json" in files and Path(folder).name == "data":
            found.append(Path(folder).parent.relative_to(root).as_posix())
            subfolders.clear()
    return sorted(found)


def read_metadata(dataset_id: str) -> dict[str, Any]:
    """``metadata.json`` of a local dataset, as data: nothing named in it is imported or made.

    Raises:
        DataError: no such dataset (with the close matches), or its metadata are not a JSON object.
    """
    file = data_folder(dataset_id) / "metadata.json"
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(missing_message(dataset_id, local_ids())) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{dataset_id}: cannot read {file} ({error}); fetch or record the dataset again") from None
    if not isinstance(metadata, dict):
        raise DataError(f"{dataset_id}: {file} is not a JSON object; fetch or record the dataset again")
    return metadata


def missing_message(dataset_id: str, known: list[str]) -> str:
    """What to say when `dataset_id` is not on disk: where was looked, what is close, how to fetch it."""
    return (
        f"dataset '{dataset_id}' is not in {datasets_path()}{did_you_mean(dataset_id, known)}; "
        f"`orl data download {dataset_id}` fetches it, and MINARI_DATASETS_PATH names another folder"
    )


def did_you_mean(name: str, known: list[str]) -> str:
    """``" (did you mean a, b?)"`` with the close matches of `name`, or nothing."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f" (did you mean {', '.join(close)}?)" if close else ""
