"""The long-lived process that reads broken files: a JSON line in, a JSON line out, for as long as it lives.

    python child.py FOLDER GIGABYTES

Its first line gives the fingerprint of the sound log, once sound runs were made in FOLDER. Then it takes lines
{"format", "path", "folder", "warm"}.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sound_files as sound

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(field: str) -> int | None:
    """Bytes of this process: VmSize, VmRSS or VmHWM (the most since `forget_peak`); None where nothing says."""
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def most_of_children() -> int:
    """Bytes of the largest process that the commands started so far (one reads Parquet files first)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def forget_peak() -> None:
    """Begin to count the peak anew."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def make_runs(folder: Path) -> None:
    """A tiny bc policy and a tiny ensemble of the log, and the log as a file."""
    from doors import call
    from tiny_settings import TINY_AGENT, TINY_MODEL

    from orl_cli.fit_model import fit_model
    from orl_cli.train_policy import train_policy

    np.savez(folder / "log.npz", **sound.renamed(sound.NEORL))
    common: dict[str, Any] = {"dataset": str(folder / "log.npz"), "quiet": True}
    made = [
        call("fit", fit_model, out=folder / "ensemble", set_=TINY_MODEL, **common),
        call("train", train_policy, algo="bc", steps=20, seeds="0:2", out=folder / "policy", set_=TINY_AGENT, **common),
    ]
    for done in made:
        if done.code:
            raise SystemExit(done.err)


def main(folder: Path, gigabytes: float) -> None:
    """Serve until stdin ends."""
    talk = os.fdopen(os.dup(1), "w")  # stdout itself belongs to the commands
    os.dup2(2, 1)
    if not (folder / "policy").exists():
        make_runs(folder)
    os.environ["FUZZ_LOG"] = str(folder / "log.npz")
    from doors import DOORS, call

    from orl_cli.data import show

    sound_log = json.loads(call("data show", show, os.environ["FUZZ_LOG"], json=True).out)
    print(json.dumps({"fingerprint": sound_log["fingerprint"]}), file=talk, flush=True)
    for served, line in enumerate(sys.stdin):
        case = json.loads(line)
        if served == case["warm"] and memory("VmSize"):
            limit = memory("VmSize") + int(gigabytes * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os.environ["MINARI_DATASETS_PATH"] = os.path.join(case["folder"], "minari")
        os.chdir(case["folder"])
        forget_peak()
        children, before, began = most_of_children(), memory("VmRSS") or 0, time.perf_counter()
        calls = [done for doors in DOORS[case["format"]] for done in doors(Path(case["path"]))]
        took = max((memory("VmHWM") or before) - before, most_of_children() - children)
        answer = {"calls": calls, "seconds": time.perf_counter() - began, "bytes": took}
        print(json.dumps(answer), file=talk, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
