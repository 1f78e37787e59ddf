"""Packed policies: what is in them, that they act as before, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orl as toolkit
from orl.errors import UsageError
from orl.runs.directory import load_run
from orl.runs.packing import pack
from orl.runs.seals import newest


def test_a_packed_policy_acts_as_the_one_it_is_of(mopo: dict[str, Any], tmp_path: Path) -> None:
    document = pack(Path(mopo["run"]), tmp_path / "packed")
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    action = toolkit.load_policy(tmp_path / "packed")(obs)
    np.testing.assert_array_equal(action, toolkit.load_policy(mopo["run"])(obs))
    assert np.abs(action).max() > 0.0
    files = sorted(str(each.relative_to(tmp_path / "packed")) for each in (tmp_path / "packed").rglob("*"))
    assert {"config.toml", "run.json", "metrics.jsonl", "checkpoints"} <= set(files)
    assert not {"model", "init", "ope", "eval", "timings.jsonl"} & set(files)
    assert not [name for name in files if "state" in name]
    assert len(list((tmp_path / "packed" / "checkpoints").iterdir())) == 1
    whole = sum(each.stat().st_size for each in Path(mopo["run"]).rglob("*") if each.is_file())
    assert 0 < document["bytes"] < whole / 2


def test_a_pack_does_not_tell_where_it_was_made(mopo: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(mopo["run"], source)
    load_run(source).update(began_as={"run": str(tmp_path / "elsewhere" / "bc-s0"), "seeds": [0]})
    pack(source, tmp_path / "packed")
    assert load_run(tmp_path / "packed").record["began_as"] == {"run": "bc-s0", "seeds": [0]}
    holding = [Path(mopo["run"]).parents[1], tmp_path]
    for file in (each for each in (tmp_path / "packed").rglob("*") if each.is_file()):
        assert not [place for place in holding if str(place).encode() in file.read_bytes()], file
    assert newest(tmp_path / "packed" / "checkpoints") == 3


def test_what_is_in_the_way_or_not_finished_is_refused(mopo: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="there is something at"):
        pack(Path(mopo["run"]), tmp_path / "there")
    pack(Path(mopo["run"]), tmp_path / "packed")
    load_run(tmp_path / "packed").update(status="interrupted")
    with pytest.raises(UsageError, match="is interrupted, not finished"):
        pack(tmp_path / "packed", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_command_says_where_and_how_large(orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path) -> None:
    done = orl("runs", "pack", mopo["run"], tmp_path / "packed")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{tmp_path / 'packed'}: ")
    assert "orl.load_policy" in done.out
    assert orl("runs", "pack", mopo["run"], tmp_path / "packed").code == 2
