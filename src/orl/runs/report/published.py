"""Published scores on D4RL's datasets, each with its source. No other data has any: their scores do not compare."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import PurePath
from typing import Any

FILE = "published.json"


def published_scores(dataset: str) -> list[dict[str, Any]]:
    """What was published on the dataset of this name, a D4RL name or a file of that name.

    Returns:
        `algorithm` (as `--algo` or `--planner` spells it), `score` (normalised, 0 to 100), `spread` or null, and the
        `source`: its `title`, where it stands (`where`), and what `spread` is (`spread`, such as "std of 4 seeds").
    """
    tables = json.loads(files("orl.runs.report").joinpath(FILE).read_text(encoding="utf-8"))
    name = d4rl_name(dataset)
    found = []
    for table in tables:
        for algorithm, (score, spread) in table["scores"].get(name, {}).items():
            source = {key: table[key] for key in ("title", "where", "spread")}
            found.append({"algorithm": algorithm, "score": score, "spread": spread, "source": source})
    return sorted(found, key=lambda each: (each["algorithm"], each["source"]["title"]))


def d4rl_name(dataset: str) -> str:
    """ "hopper-medium-replay-v2" of that id, of D4RL's hopper_medium_replay-v2.hdf5, and of D4RL/hopper/...-v2."""
    path = PurePath(dataset)
    name = path.stem if path.suffix in (".hdf5", ".h5") else dataset
    return name.lower().replace("_", "-").replace("/", "-").removeprefix("d4rl-")
