"""`orl data import`: from a file to a dataset that trains, its report, and its manners."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl.data.local import datasets_path

WORDS = ["--obs", "s_*", "--action", "u", "--reward", "r", "--episode", "run", "--order", "step", "--terminated", "end"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shuffled CSV file of six episodes of eight rows, and an empty datasets folder."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    rng = np.random.default_rng(0)
    rows = [
        f"{run},{step},{rng.normal():.6f},{rng.normal():.6f},{rng.uniform(-2, 2):.6f},{rng.normal():.6f},{step == 7}"
        for run in range(6)
        for step in range(8)
    ]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(["run,step,s_1,s_2,u,r,end", *rng.permutation(rows)]) + "\n")
    return file


def test_a_file_becomes_a_dataset_that_is_listed_and_trains(orl: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    done = orl("data", "import", log, "--id", "plant/pump-v0", *WORDS, "--save-mapping", tmp_path / "map.toml", "-q")
    assert (done.code, done.err) == (0, "")
    assert "next" in done.out
    assert "orl train-policy -d plant/pump-v0" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    listed = orl("data", "list", "--json").document["datasets"]
    assert [(found["steps"], found["episodes"]) for found in listed if found["id"] == "plant/pump-v0"] == [(48, 6)]
    tiny = ["--set", "agent.hidden=[8]", "--set", "agent.batch_size=16", "--set", "train.epoch_steps=10"]
    trained = orl("train-policy", "-a", "bc", "-d", "plant/pump-v0", "--steps", 10, *tiny, "--runs", tmp_path, "--json")
    assert trained.code == 0, trained.err
    again = orl("data", "import", "--mapping", tmp_path / "map.toml", "--id", "plant/other-v0", "--json")
    prints = [
        orl("data", "show", name, "--json").document["fingerprint"] for name in ("plant/pump-v0", "plant/other-v0")
    ]
    assert again.code == 0
    assert prints[0] == prints[1]


def test_the_report(orl: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    words = ["data", "import", log, "--id", "plant/pump-v0", *WORDS, "--action-low", "-2", "--action-high", 2, "--json"]
    dry, done = orl(*words, "--dry-run").document, orl(*words).document
    folder = tmp_path / "minari" / "plant" / "pump-v0"
    assert dry | {"folder": str(folder), "seconds": done["seconds"]} == done
    assert (done["rows"], done["steps"], done["episodes"], done["terminals"]) == (48, 48, 6, 6)
    assert (done["lengths"], done["action_low"]) == ({"mean": 8, "min": 8, "max": 8}, [-2])
    assert done["columns"]["obs"] == ["s_1", "s_2"]
    assert done["files"][0]["name"] == "log.csv"
    shown = orl("data", "show", "plant/pump-v0", "--json").document
    assert (shown["returns"]["mean"], shown["terminals"]) == (pytest.approx(done["returns"]["mean"]), 6)


def test_dry_run_writes_nothing(orl: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    words = ["data", "import", log, "--id", "plant/pump-v0", *WORDS, "--save-mapping", tmp_path / "map.toml"]
    done = orl(*words, "--dry-run")
    assert done.code == 0
    assert done.err.endswith("orl: dry run: nothing was written\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_an_id_in_use_is_kept_unless_forced(orl: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    words = ["data", "import", log, "--id", "plant/pump-v0", *WORDS, "-q"]
    assert orl(*words).code == 0
    left = datasets_path() / ".importing-plant.pump-v0"  # as by one that was killed when its dataset had appeared
    left.mkdir()
    (left / "rows-000000.parquet").write_text("")
    refused = orl(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "plant/pump-v0 is already in" in refused.err
    assert not left.exists()
    assert "--force" in refused.err
    text = log.read_text()
    log.write_text(text.replace(",False", ",perhaps", 1))
    broken = orl(*words, "--force")
    assert broken.code == 3
    assert "column 'end': 'perhaps' is neither true/false nor 1/0" in broken.err
    assert orl("data", "show", "plant/pump-v0").code == 0
    log.write_text("\n".join(line for line in text.splitlines() if not line.startswith("5,")))
    assert orl(*words, "--force").code == 0
    assert orl("data", "show", "plant/pump-v0", "--json").document["episodes"] == 5
    assert sorted(path.name for path in (tmp_path / "minari").iterdir()) == ["plant"]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ([], 2, "no file to import"),
        (["log.csv"], 2, "--id is missing"),
        (["log.csv", "--id", "a-v0"], 2, "--obs is missing; the columns of log.csv are run, step, s_1, s_2, u, r, end"),
        (["log.csv", "--id", "a-v0", *WORDS, "--action-low", "x"], 2, "--action-low x: expected numbers between"),
        (["log.csv", "--id", "a-v0", *WORDS, "--mapping", "no.toml"], 2, "cannot read the settings file no.toml"),
        (["log.csv", "--id", "a-v0", *WORDS, "--save-mapping", "no/map.toml"], 2, "there is no folder no"),
        (["logs.csv", "--id", "a-v0", *WORDS], 3, "no file logs.csv (did you mean log.csv?)"),
    ],
)
def test_wrong_usage(
    words: list[str], code: int, hint: str, orl: Callable[..., Any], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    done = orl("data", "import", *words, "-q")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("orl: ")
    assert hint in done.err
    assert done.err.count("\n") == 1
    assert not (log.parent / "minari").exists() or not list((log.parent / "minari").iterdir())


def test_an_import_interrupted_from_outside_leaves_nothing(log: Path, tmp_path: Path) -> None:
    """In a process of its own, stopped as soon as its hidden folder is there."""
    lines = log.read_text().splitlines()
    rows = [line.split(",", 1)[1] for line in lines[1:]]
    with open(log, "w") as file:
        file.write(lines[0] + "\n")
        for run in range(6000):
            file.writelines(f"{run},{row}\n" for row in rows[:8])
    words = ["data", "import", str(log), "--id", "plant/pump-v0", *WORDS[:-4], "--json"]
    process = subprocess.Popen([sys.executable, "-m", "orl_cli.main", *words], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("minari/.importing-*")) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    assert list((tmp_path / "minari").iterdir()) == []
