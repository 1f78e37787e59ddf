"""Broken files through one long-lived process that reads them, and the verdict on what it did."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sound_files as sound
from corpus import broken, sound_case
from fuzz_case import Broken
from judging import Call, fault_of

HERE = Path(__file__).parent
SECONDS = 30.0  # of one file, with room for a machine that does other things as well
BYTES = 2 * 2**30
WARM = 40  # cases before the memory that is there then counts as the process's own


class Verdict(NamedTuple):
    """One case: exit codes by door, time, memory, and what was wrong ("" where nothing was)."""

    seed: int
    how: str
    codes: dict[str, int]
    seconds: float
    bytes: int
    fault: str


class Reader:
    """The child process; started anew after it crashed or was killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0
        self.fingerprint = ""  # of the sound log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it can read."""
        paths = [HERE.parent, HERE, *(HERE.parents[1] / part for part in ("src", "cli", "benchmarks"))]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "JAX_PLATFORMS": "cpu",
            "POLARS_MAX_THREADS": "1",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        words = [sys.executable, str(HERE / "child.py"), str(self.folder), str(BYTES / 2**30)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with (self.folder / "child.log").open("ab") as log:
            self._process = subprocess.Popen(words, **pipes, stderr=log, env=environment, cwd=self.folder)
        self.starts += 1
        ready = self._answer(300.0)
        if ready is None:
            raise RuntimeError((self.folder / "child.log").read_text()[-2000:])
        self.fingerprint = ready["fingerprint"]

    def read(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; {"fault": ...} where there was none, and the next one gets a new process."""
        if self._process is None:
            self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(SECONDS)
        if answer is not None:
            return answer
        code = self._process.poll()
        self.stop()
        return {"fault": f"no answer in {SECONDS:g} s" if code is None else f"the reader died ({code})"}

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        if ready and not line:
            self._process.wait()
        return json.loads(line) if line else None

    @property
    def pid(self) -> int:
        """Of the process that reads."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def reader() -> Iterator[tuple[Reader, dict[str, dict[str, bytes]]]]:
    """A started reader in a folder of its own, and the files of the sound runs that it made there."""
    with tempfile.TemporaryDirectory(prefix="orl-fuzz-") as folder:
        started = Reader(Path(folder))
        started.start()
        try:
            yield started, {name: sound.folder(Path(folder) / name) for name in ("policy", "ensemble")}
        finally:
            started.stop()


def run_sound(child: Reader, kind: str, runs: dict[str, dict[str, bytes]]) -> Verdict:
    """The format's sound file: whoever refuses it proves nothing by refusing others."""
    verdict = _judged(child, kind, -1, sound_case(kind, runs))
    if any(verdict.codes.values()) or not verdict.codes:
        return verdict._replace(fault=verdict.fault or f"the sound file is refused: {verdict.codes}")
    return verdict


def run_case(child: Reader, kind: str, seed: int, runs: dict[str, dict[str, bytes]]) -> Verdict:
    """Write a case's files, have them read, and judge; the files are gone afterwards."""
    return _judged(child, kind, seed, broken(kind, seed, runs))


def _judged(child: Reader, kind: str, seed: int, case: Broken) -> Verdict:
    folder = child.folder / "case"
    try:
        for name, content in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        path = folder / "runs" / "data" / case.main if kind.startswith("run") else folder / case.main
        request = {
            "format": kind,
            "path": str(path),
            "minari": str(folder / "minari"),
            "folder": str(folder),
            "warm": 5,
        }
        answer = child.read(request)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    calls = [Call(*each) for each in answer.get("calls", [])]
    used, seconds = answer.get("bytes", 0), answer.get("seconds", SECONDS)
    fault = (
        answer.get("fault") or fault_of(case, calls, child.fingerprint) or (f"{used:,} bytes" if used > BYTES else "")
    )
    return Verdict(seed, case.how, {each.door: each.code for each in calls}, seconds, used, fault)
