"""From a name to a checked dataset: a file, an embedded dataset, or a Minari id."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orl.data import pendulum
from orl.data.check import require_layout, validate
from orl.data.episodes import Dataset
from orl.data.local import data_folder, did_you_mean, is_dataset_id, local_ids, missing_message, read_metadata
from orl.data.readers.d4rl import read_d4rl
from orl.data.readers.minari import download_minari, env_fields, read_minari
from orl.data.readers.neorl import read_neorl
from orl.errors import DataError

DEFAULT = pendulum.MIXED

FILE_READERS: dict[str, Callable[..., Dataset]] = {".hdf5": read_d4rl, ".h5": read_d4rl, ".npz": read_neorl}
_KINDS = (
    "D4RL .hdf5 and .h5 files, NeoRL .npz files, and Minari ids such as mujoco/hopper/medium-v0; "
    "`orl data import` makes a dataset of other logs"
)


class DatasetInfo(NamedTuple):
    """A line of the catalogue. `where` is the folder on disk, or says that the dataset is recorded when first used."""

    id: str
    steps: int
    episodes: int
    env: str | None
    where: str


def load(name: str, progress: Callable[[str], None] | None = None, checked: bool = True) -> Dataset:
    """The dataset called `name` - a path or an id - after the checks of ``check.validate``.

    An embedded dataset is recorded when first asked for; `progress` is then told so. With `checked` False the values
    may be anything, and only ``data.audit`` should see them; what cannot be read at all is still refused.

    Raises:
        DataError: nothing of that name, an unknown kind of file, or a fault in the data.
    """
    check = validate if checked else require_layout
    reader = FILE_READERS.get(Path(name).suffix.lower())
    if reader:
        _require_file(Path(name))
        return check(reader(name, checked=checked))
    if name in pendulum.RECIPES:
        pendulum.ensure(name, progress)
    elif is_dataset_id(name):
        if not (data_folder(name) / "metadata.json").is_file():
            raise DataError(missing_message(name, _known_ids()))
    else:
        raise DataError(f"cannot read '{name}'{did_you_mean(name, _known_ids())}; readable are {_KINDS}")
    return check(read_minari(name))


def download(dataset_id: str, progress: Callable[[str], None] | None = None) -> Path:
    """Bring `dataset_id` onto disk - recorded if embedded, else from Minari's hub - and return its folder.

    Raises:
        DataError: not an id, or unknown to the hub. MissingError: the hub does not answer.
    """
    if dataset_id in pendulum.RECIPES:
        return pendulum.ensure(dataset_id, progress)
    return download_minari(dataset_id)


def list_datasets() -> list[DatasetInfo]:
    """The embedded datasets and the local Minari ones, sorted by id; reads metadata only."""
    infos = {name: _embedded_info(name) for name in pendulum.RECIPES}
    for name in local_ids():
        try:
            metadata = read_metadata(name)
            steps, episodes = int(metadata["total_steps"]), int(metadata["total_episodes"])
        except (DataError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"{name} left out of the list: unreadable metadata ({error})", stacklevel=2)
            continue
        infos[name] = DatasetInfo(name, steps, episodes, env_fields(metadata)["env_id"], str(data_folder(name).parent))
    return [infos[name] for name in sorted(infos)]


def summary(dataset: Dataset) -> dict[str, Any]:
    """What there is to know at a glance, as plain JSON values; returns are undiscounted, in reward units."""
    reference = dataset.reference
    return {
        "name": dataset.name,
        "steps": len(dataset),
        "episodes": dataset.n_episodes,
        "obs_dim": dataset.obs.shape[1],
        "action_dim": dataset.action.shape[1],
        "obs_fields": [list(field) for field in dataset.obs_fields],
        "action_low": dataset.action_low.tolist(),
        "action_high": dataset.action_high.tolist(),
        "env_id": dataset.env_id,
        "max_episode_steps": dataset.max_episode_steps,
        "returns": _spread(dataset.returns),
        "lengths": _spread(dataset.lengths),
        "terminals": int(dataset.terminated.sum()),
        "timeouts": int((dataset.truncated & ~dataset.terminated).sum()),
        "reference": reference and {"min": reference.min, "max": reference.max, "source": reference.source},
        "behaviour_score": float(reference.score(dataset.returns).mean()) if reference else None,
        "fingerprint": dataset.fingerprint,
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def _known_ids() -> list[str]:
    return sorted({*local_ids(), *pendulum.RECIPES})


def _embedded_info(name: str) -> DatasetInfo:
    episodes = sum(part.episodes for part in pendulum.RECIPES[name])
    where = "embedded, recorded when first used"
    return DatasetInfo(name, episodes * pendulum.EPISODE_STEPS, episodes, pendulum.ENV_ID, where)


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(f"no file {path}{did_you_mean(path.name, beside)}; check the path")
