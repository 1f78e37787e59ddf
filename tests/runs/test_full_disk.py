"""A disk that fills up in the middle of a fit, is given space, and turns read-only: real ones, in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_settings import TINY_MODEL, settings

# Runs with mounts of its own, which end with it; everything is looked at before that.
DRIVER = """
import json, shutil, subprocess, sys
from pathlib import Path
from typer.testing import CliRunner
from orl.files import TEMPORARY
from orl.runs.seals import newest
from orl_cli.main import app

disk, words = Path(sys.argv[1]), sys.argv[2:]
run = disk / "run"

def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)

def orl(out, *more):
    done = CliRunner().invoke(app, [*words, "--out", str(out), "-q", *more])
    return {"code": done.exit_code, "out": done.stdout, "err": done.stderr}

def rows():
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]

seen = {}
mount("size=20m")
orl(disk / "half", "--set", "model.max_epochs=20")
# of a run with two checkpoints; the disk's own count has what was deleted and is still open in it
two = sum(path.stat().st_blocks for path in disk.rglob("*")) * 512
shutil.rmtree(disk / "half")
mount(f"remount,size={two + two // 5}")  # a third one does not fit
seen["full"] = orl(run)
seen["status"] = json.loads((run / "run.json").read_text())["status"]
seen["saved"], seen["rows"] = newest(run / "checkpoints"), rows()
mount("remount,size=20m")
seen["again"], seen["all"] = orl(run), rows()
seen["left"] = [str(path) for path in disk.rglob("*") if path.name.startswith((TEMPORARY, ".lock"))]
mount("remount,ro")
seen["finished"], seen["elsewhere"] = orl(run, "--json"), orl(disk / "other")
seen["forced"] = orl(run, "--force")
seen["kept"] = newest(run / "checkpoints")
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(plain_log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fit of forty epochs meets."""
    disk = tmp_path_factory.mktemp("disk")
    own_mounts = [shutil.which("unshare") or "unshare", "--map-root-user", "--mount"]
    try:
        subprocess.run([*own_mounts, "mount", "-t", "tmpfs", "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    words = ["fit-model", "-d", plain_log, *settings(TINY_MODEL, ["model.max_epochs=40", "model.patience=1000"])]
    done = subprocess.run([*own_mounts, sys.executable, "-c", DRIVER, disk, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk_is_one_line_and_what_was_saved_is_gone_on_with(seen: dict[str, Any]) -> None:
    full = seen["full"]
    assert (full["code"], full["out"]) == (2, "")
    assert full["err"].count("\n") == 1
    assert full["err"].startswith("orl: cannot write ")
    assert "No space left on device; what was saved before is kept; free some space" in full["err"]
    assert seen["status"] == "running"
    assert seen["saved"] in (10, 20, 30)
    assert seen["rows"] == list(range(1, seen["rows"][-1] + 1))
    assert seen["rows"][-1] >= seen["saved"]
    assert (seen["again"]["code"], seen["again"]["err"]) == (0, "")
    assert seen["all"] == list(range(1, 41))
    assert seen["left"] == []  # threads that were still writing may have left something; the next command sweeps it


def test_a_read_only_disk_is_one_line_and_what_is_finished_can_be_shown(seen: dict[str, Any]) -> None:
    assert seen["finished"]["code"] == 0
    assert json.loads(seen["finished"]["out"])["epochs"] == 40
    for attempt in ("elsewhere", "forced"):
        assert (seen[attempt]["code"], seen[attempt]["out"]) == (2, "")
        assert seen[attempt]["err"].count("\n") == 1
        assert "Read-only file system; make it writable, or choose another place" in seen[attempt]["err"]
    assert seen["kept"] == 40
