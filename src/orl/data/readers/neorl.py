"""NeoRL and NeoRL-2 logs: one .npz with a row for each step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orl.data.episodes import Dataset, Reference
from orl.data.readers.flat import assemble, check_chain, columns, flag
from orl.data.readers.limits import Room
from orl.data.readers.npz import open_npz
from orl.errors import DataError

_KEYS = ("obs", "action", "next_obs", "reward", "done", "truncated")
_SOURCE = "NeoRL-2, arXiv:2503.19267"

# Returns that score 0 and 100 in NeoRL-2's own tables, by the first part of the file's name.
REFERENCES = {
    "DMSD": Reference(30.6, 849.5, _SOURCE),
    "Simglucose": Reference(9.75, 475.0, _SOURCE),
    "SafetyHalfCheetah": Reference(-283.0, 2507.0, _SOURCE),
    "RandomFrictionHopper": Reference(-3.0, 503.0, _SOURCE),
}


def read_neorl(path: str | Path, checked: bool = True) -> Dataset:
    """Read an .npz with obs, next_obs [N, O], action [N, A], reward, done (true ends), truncated [N].

    Action bounds are [-1, 1] if every logged action is inside, else the logged range. There is no environment.
    With `checked` False, rows that contradict the next observations are let through, for an audit.

    Raises:
        DataError: absent, not an .npz of plain arrays, a missing key, unlike lengths, or a broken chain of rows.
    """
    file = Path(path)
    data = columns(file, _load(file), wide=("obs", "action", "next_obs"))
    if data["next_obs"].shape != data["obs"].shape:
        raise DataError(f"{file}: obs {data['obs'].shape} and next_obs {data['next_obs'].shape} differ in shape")
    terminated, truncated = (flag(file, key, data[key]) for key in ("done", "truncated"))
    if checked:
        check_chain(file, data["obs"], data["next_obs"], terminated | truncated)
    return assemble(str(path), data, terminated, truncated, REFERENCES.get(file.name.split("-")[0]))


def _load(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise DataError(f"{file}: no such file; check the path")
    with open_npz(file) as arrays:
        missing = [key for key in _KEYS if key not in arrays]
        if missing:
            raise DataError(f"{file}: lacks {', '.join(missing)}; a NeoRL log has {', '.join(_KEYS)}")
        room = Room()
        for key in _KEYS:
            room.take(arrays[key].where, arrays[key].nbytes)
        return {key: arrays[key].whole() for key in _KEYS}
