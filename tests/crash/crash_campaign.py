"""`make crash`: kill every command at random moments, start it again, and hold the outcome to an uninterrupted one.

What is known is written after every moment, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from crash_cases import DATASET, Case, cases
from crash_outcome import assert_readable, assert_same, without_clock

KINDS = ("time", "call")


class Crasher:
    """Runs the cases in folders below `work`."""

    def __init__(self, work: Path) -> None:
        self.work = work.absolute()
        self.work.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "HOME": str(self.work),
            "XDG_CACHE_HOME": str(self.work / "cache"),  # programs are compiled once for all
            "MINARI_DATASETS_PATH": str(self.work / "minari"),
        }
        record_dataset(self.work / "minari")
        command = [sys.executable, str(Path(__file__).with_name("crash_child.py"))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._child = subprocess.Popen(command, env=environment, **pipes)
        self._whole: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """End the process that forks."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()

    def command(self, case: Case, folder: Path, words: Sequence[str], **kill: Any) -> dict[str, Any]:
        """Run a command of a case in a folder: its status, seconds and calls, what it printed, and its errors."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        job = {"words": list(words), "folder": str(folder), "datasets": case.datasets, **kill}
        self._child.stdin.write(json.dumps(job) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        out, err = (Path(f"{folder}.{name}").read_text() for name in ("out", "err"))
        return {**answer, "out": out, "err": err}

    def whole(self, case: Case) -> dict[str, Any]:
        """An uninterrupted run of the case, made once: its folder, document, seconds and calls."""
        if case.name not in self._whole:
            ready, folder = self._folder(case, "ready"), self._folder(case, "whole")
            shutil.rmtree(ready, ignore_errors=True)
            ready.mkdir(parents=True)
            if case.files:
                case.files(ready)
            for words in case.prepare:
                done = self.command(case, ready, words)
                assert done["status"] == 0, done["err"]
            for _ in range(2):  # the first one compiles; the second one's time is that of those to come
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(ready, folder)
                done = self.command(case, folder, case.words)
                assert done["status"] == 0, done["err"]
            self._whole[case.name] = {**done, "folder": folder, "ready": ready}
        return self._whole[case.name]

    def kill_and_resume(self, case: Case, kind: str, share: float) -> dict[str, Any]:
        """One moment: kill after `share` of the time or the calls, look, run again, compare.

        Raises:
            AssertionError: something could not be read, was not gone on with, or is not the same.
        """
        whole = self.whole(case)
        folder = self._folder(case, "killed")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole["ready"], folder)
        kill = {"seconds": share * whole["seconds"]} if kind == "time" else {"call": int(share * 2 * whole["calls"])}
        killed = self.command(case, folder, case.words, **kill)
        assert killed["status"] in (-signal.SIGKILL, 0), killed["err"]
        assert_readable(folder, case.interval)
        again = self.command(case, folder, case.words)
        if case.there is not None and again["status"] != 0:
            assert case.there in again["err"], again["err"]
        else:
            assert again["status"] == 0, again["err"]
            assert without_clock(json.loads(again["out"])) == without_clock(json.loads(whole["out"]))
        assert_same(folder, whole["folder"])
        return {"killed": killed["status"] != 0, **kill}

    def _folder(self, case: Case, name: str) -> Path:
        return self.work / case.name.replace(" ", "-") / name


def record_dataset(place: Path) -> None:
    """The log that all cases but the imports learn from."""
    from orl.data import pendulum
    from orl.data.local import data_folder

    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(place)
    try:
        if not data_folder(DATASET).exists():
            parts = (pendulum.Part("good", 3), pendulum.Part("random", 5, torque=0.0, noise=np.inf))
            pendulum.record(DATASET, parts, 3)
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def moments(chosen: list[Case], count: int, seed: int) -> list[tuple[Case, str, float]]:
    """`count` random moments, evenly over the cases, half by the clock and half by calls."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        case = chosen[index % len(chosen)]
        found.append((case, KINDS[index // len(chosen) % 2], float(rng.uniform(0.02, 0.98))))
    return sorted(found, key=lambda moment: chosen.index(moment[0]))  # stable: a case's moments one after the other


def campaign(out: Path, work: Path, count: int, seed: int, only: str) -> dict[str, Any]:
    """All moments, those known from before left out; returns and writes the result."""
    chosen = [case for case in cases() if only in case.name]
    progress = out.with_suffix(".progress.jsonl")
    header = json.dumps({"count": count, "seed": seed, "cases": [case.name for case in chosen]})
    lines = progress.read_text().splitlines() if progress.exists() else []
    known = [json.loads(line) for line in lines[1:]] if lines[:1] == [header] else []
    out.parent.mkdir(parents=True, exist_ok=True)
    progress.write_text("".join(line + "\n" for line in [header, *map(json.dumps, known)]))
    crasher = Crasher(work)
    try:
        for case, kind, share in moments(chosen, count, seed)[len(known) :]:
            began = time.monotonic()
            row: dict[str, Any] = {"case": case.name, "command": case.command, "kind": kind, "share": round(share, 4)}
            crasher.whole(case)  # what fails without being killed is no outcome
            try:
                row |= crasher.kill_and_resume(case, kind, share) | {"fault": None}
            except Exception:
                row["fault"] = traceback.format_exc(limit=-2)
            known.append(row | {"took": round(time.monotonic() - began, 2)})
            with progress.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
            print(f"{len(known)}/{count} {case.name} {kind} {share:.2f}: {row['fault'] or 'the same'}", flush=True)
    finally:
        crasher.close()
    result = summary(known, seed)
    out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def summary(known: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Counts by command and by kind of kill, and every fault."""
    by_case = Counter((row["case"], row["kind"]) for row in known)
    names = dict.fromkeys(row["case"] for row in known)
    return {
        "moments": len(known),
        "seed": seed,
        "killed": sum(bool(row.get("killed")) for row in known),
        "minutes": round(sum(row["took"] for row in known) / 60, 1),
        "commands": dict(Counter(row["command"] for row in known)),
        "cases": {name: {kind: by_case[name, kind] for kind in KINDS} for name in names},
        "faults": [row for row in known if row["fault"]],
    }


def main() -> int:
    """The command line; 1 where a moment left something else than it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="result file; its progress lies beside it")
    parser.add_argument("--work", type=Path, default=None, help="folder for the runs; a temporary one by default")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only the cases whose names contain this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orl-crash-") as temporary:
        work = options.work or Path(temporary)
        result = campaign(options.out, work, options.count, options.seed, options.only)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
