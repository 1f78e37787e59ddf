"""What a command says where a file of settings, or a value in a file, is at fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nmembers = 'x'\n", "setting model.members = 'x'"),
        ("[model]\nelites = 9\n", "model.elites is 9, more than model.members (7)"),
        ("[modle]\n", "unknown setting modle; did you mean model?"),
        ("[model]\nlearning_rate = nan\n", "setting model.learning_rate = nan: input should be a finite number"),
    ],
)
def test_the_file_of_settings_is_named(
    text: str, message: str, orl: Callable[..., Any], plain_log: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    done = orl("fit-model", "-d", plain_log, "--config", file, "--dry-run", "--no-probe")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(f"orl: {message}")
    assert done.err.endswith(f" (settings: {file})\n")


def test_without_a_file_of_settings_none_is_named(orl: Callable[..., Any], plain_log: Path) -> None:
    done = orl("fit-model", "-d", plain_log, "--set", "model.members=0", "--dry-run", "--no-probe")
    assert done.code == 2
    assert "(settings:" not in done.err


def test_a_mapping_is_named(orl: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('id = "pump"\nfiles = ["log.csv"]')
    done = orl("data", "import", "--mapping", tmp_path / "map.toml")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "--id pump: ids end with a version" in done.err
    assert f"(settings: {tmp_path}/map.toml)" in done.err


def test_a_mapping_is_named_where_its_file_is_not_there(orl: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(f'id = "a/pump-v0"\nfiles = ["{tmp_path}/log.csv"]')
    done = orl("data", "import", "--mapping", tmp_path / "map.toml", "--quiet")
    assert (done.code, len(done.err.splitlines())) == (3, 1)
    assert f"no file {tmp_path}/log.csv" in done.err
    assert f"(settings: {tmp_path}/map.toml)" in done.err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("history=100000000000", "setting history = 100000000000: input should be less than or equal to 10000"),
        (
            "model.members=100000000000",
            "setting model.members = 100000000000: input should be less than or equal to 1000",
        ),
        (f"model.hidden=[1{'0' * 400}, 8, 8, 8]", "setting model.hidden.0: input should lie within"),
    ],
)
def test_sizes_that_cannot_be_are_refused(setting: str, message: str, orl: Callable[..., Any], plain_log: Path) -> None:
    done = orl("fit-model", "-d", plain_log, "--set", setting, "--dry-run", "--no-probe")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert message in done.err


def test_a_width_beyond_all_memory_does_not_fit(orl: Callable[..., Any], plain_log: Path) -> None:
    words = ["--set", "model.hidden=[100000000000,100000000000,8,8]", "--dry-run", "--no-probe"]
    done = orl("fit-model", "-d", plain_log, *words)
    assert done.code == 0
    assert "DOES NOT FIT" in done.err


def test_a_message_has_a_beginning_and_an_end_and_no_more(orl: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"\x00" * 2000)
    done = orl("data", "import", tmp_path / "log.csv", "--id", "a/b-v0", "--obs", "x", "--action", "y", "--reward", "z")
    assert done.code == 2
    assert len(done.err) < 1100
    assert f"{tmp_path}/log.csv" in done.err
    assert " … " in done.err


def test_an_infinite_excess_is_null_in_the_document(
    orl: Callable[..., Any], pendulum_log: str, sandbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON has no infinity: an action that is infinite lies infinitely far outside its bounds."""
    shutil.copytree(sandbox / "minari" / pendulum_log, tmp_path / pendulum_log)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with h5py.File(tmp_path / pendulum_log / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/actions"][3] = np.inf
    done = orl("data", "check", pendulum_log, "--json")
    assert done.code == 3
    assert [each["value"] for each in done.document["findings"] if each["check"] == "bounds"] == [None]
