"""D4RL logs: one HDF5 file with a row for each step.

The trap of this format is the next observation at an episode's end, where the following row belongs to another episode
(D4RL issues 145 and 204). What is done here:

* ``next_observations`` in the file: used, after a check that it agrees with the following row inside episodes. If the
  file lacks ``timeouts`` (v0), the places where it disagrees are the time-outs, as in D4RL's own repair.
* otherwise the next observation is the following row of the same episode. The last row of a time-out is dropped, for
  nothing is known of what came next; the row before becomes the episode's last. The row of a true end is kept with
  its own observation repeated: dropping it would delete the only evidence of the end and its reward, and the values
  never read that next observation. A dynamics model sees one unmoving row an episode; a warning counts them.
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from orl.data.episodes import Bools, Dataset, Reference
from orl.data.readers.flat import assemble, chain_breaks, check_chain, columns, flag
from orl.data.readers.hdf5 import open_hdf5, read_array
from orl.data.readers.limits import Room
from orl.errors import DataError

_NAMES = {"observations": "obs", "actions": "action", "rewards": "reward", "next_observations": "next_obs"}
_REQUIRED = ("observations", "actions", "rewards", "terminals")
_SOURCE = "D4RL d4rl/infos.py"

# Returns that score 0 and 100, by file name in lower case with '_' as '-'. First match wins.
REFERENCES = {
    "halfcheetah-*": (-280.178953, 12135.0),
    "hopper-*": (-20.272305, 3234.3),
    "walker2d-*": (1.629008, 4592.3),
    "antmaze-*": (0.0, 1.0),
    "ant-maze-*": (0.0, 1.0),
    "ant-*": (-325.6, 3879.7),
    "pen-*": (96.262799, 3076.8331017826877),
    "hammer-*": (-274.856578, 12794.134825156867),
    "relocate-*": (-6.425911, 4233.877797728884),
    "door-*": (-56.512833, 2880.5693087298737),
    "kitchen-*": (0.0, 4.0),
    "mini-kitchen-*": (0.0, 4.0),
    "maze2d-open-dense*": (11.17817, 27.166538620695782),
    "maze2d-open*": (0.01, 20.66),
    "maze2d-umaze-dense*-v1*": (68.537689, 193.66285642381482),
    "maze2d-medium-dense*-v1*": (44.264742, 297.4552547777125),
    "maze2d-large-dense*-v1*": (30.569041, 303.4857382709002),
    "maze2d-umaze*-v1*": (23.85, 161.86),
    "maze2d-medium*-v1*": (13.13, 277.39),
    "maze2d-large*-v1*": (6.7, 273.99),
}


def read_d4rl(path: str | Path, checked: bool = True) -> Dataset:
    """Read a D4RL .hdf5: observations [N, O], actions [N, A], rewards, terminals, timeouts [N], next_observations.

    Action bounds are [-1, 1] if every logged action is inside, else the logged range. ``env_id`` is None: the returns
    of today's Gymnasium environments are not on the scale of those D4RL was recorded in.
    With `checked` False, rows that contradict the next observations are let through, for an audit.

    Raises:
        DataError: absent or broken file, a missing key, unlike lengths, or rows that contradict the flags.
    """
    file = Path(path)
    found = _load(file)
    terminated = flag(file, "terminals", found.pop("terminals"))
    timeouts = found.pop("timeouts", None)
    data = {_NAMES[key]: array for key, array in found.items()}
    if "next_obs" in data and data["next_obs"].shape != data["obs"].shape:
        raise DataError(f"{file}: next_observations {data['next_obs'].shape} and observations differ in shape")
    truncated = _inferred_timeouts(file, data, terminated) if timeouts is None else flag(file, "timeouts", timeouts)
    if "next_obs" in data:
        if checked:
            check_chain(file, data["obs"], data["next_obs"], terminated | truncated)
    else:
        data, terminated, truncated = _follow_rows(file, data, terminated, truncated)
    return assemble(str(path), data, terminated, truncated, reference_for(file.stem))


def reference_for(stem: str) -> Reference | None:
    """The D4RL scale for a file name without its suffix, such as ``hopper_medium-v2``; None where there is none."""
    name = stem.lower().replace("_", "-")
    match = next((scale for pattern, scale in REFERENCES.items() if fnmatch(f"{name}-", pattern)), None)
    return Reference(*match, _SOURCE) if match else None


def _load(file: Path) -> dict[str, np.ndarray]:
    with open_hdf5(file) as opened:
        room = Room()
        arrays = {key: read_array(opened, key, room) for key in (*_REQUIRED, "timeouts", "next_observations")}
    missing = [key for key in _REQUIRED if arrays[key] is None]
    if missing:
        raise DataError(
            f"{file}: lacks {', '.join(missing)}, so it is no D4RL file; a Minari dataset is read by its id, "
            "with MINARI_DATASETS_PATH at its folder"
        )
    present = {key: array for key, array in arrays.items() if array is not None}
    return columns(file, present, wide=("observations", "actions", "next_observations"))


def _inferred_timeouts(file: Path, data: dict[str, np.ndarray], terminated: Bools) -> Bools:
    if "next_obs" not in data:
        raise DataError(
            f"{file}: has neither 'timeouts' nor 'next_observations', so its episodes cannot be told apart; "
            "use the v2 file"
        )
    truncated = np.zeros_like(terminated)
    truncated[chain_breaks(data["obs"], data["next_obs"])] = True
    warnings.warn(f"{file}: no 'timeouts'; {int((truncated & ~terminated).sum())} found from breaks", stacklevel=3)
    return truncated & ~terminated


def _follow_rows(
    file: Path, data: dict[str, np.ndarray], terminated: Bools, truncated: Bools
) -> tuple[dict[str, np.ndarray], Bools, Bools]:
    """Next observations from the following rows, never across an end; see the module's text for the ends."""
    dropped = truncated & ~terminated
    dropped[-1] = not terminated[-1]  # a log cut in mid-episode ends like a time-out
    obs, keep = data["obs"], ~dropped
    if not keep.any():
        raise DataError(f"{file}: no row has a known next observation; every episode is one step long")
    following = np.concatenate([obs[1:], obs[-1:]])
    next_obs = np.where(terminated[:, None], obs, following)
    last = np.append(dropped[1:], False) & ~terminated
    warnings.warn(
        f"{file}: no 'next_observations'; {int(dropped.sum())} last rows of time-outs dropped, "
        f"{int(terminated.sum())} rows at true ends kept with their own observation as the next",
        stacklevel=3,
    )
    return {key: array[keep] for key, array in (data | {"next_obs": next_obs}).items()}, terminated[keep], last[keep]
