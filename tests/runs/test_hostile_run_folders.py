"""Run folders from elsewhere: their records lead neither out of the folder nor to code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orl as package
from orl.errors import DataError, UsageError
from orl.evaluation.episodes import EnvSpec
from orl.runs.directory import load_run
from orl.runs.evaluate import environment_of
from orl.runs.model_supply import keep_run


class Payload:
    """What makes its marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.marker,))


def foreign(source: str, target: Path, **dataset: Any) -> Path:
    """A copy of a run whose record says something else of its data."""
    shutil.copytree(source, target)
    record = json.loads((target / "run.json").read_text())
    (target / "run.json").write_text(json.dumps(record | {"dataset": record["dataset"] | dataset}))
    return target


def test_the_spec_of_the_environment_is_kept_with_the_run(cloned: dict[str, Any]) -> None:
    run = load_run(Path(cloned["run"]))
    assert json.loads(run.record["dataset"]["env_spec"])["id"] == "Pendulum-v1"
    assert environment_of(run) == EnvSpec("Pendulum-v1", {}, 200)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"env_id": "evil_module:Evil-v0"}, "the id 'evil_module:Evil-v0'"),
        ({"env_kwargs": {"xml_file": "/etc/passwd"}}, "the setting xml_file = '/etc/passwd'"),
        ({"env_spec": '{"entry_point": "evil_module:Env"}'}, "the entry point 'evil_module:Env'"),
        ({"env_id": "../../x\0"}, "is no id of Gymnasium"),
    ],
)
def test_the_environment_in_a_record_is_judged_like_that_of_a_dataset(
    dataset: dict[str, Any], message: str, cloned: dict[str, Any], orl: Callable[..., Any], tmp_path: Path
) -> None:
    run = foreign(cloned["run"], tmp_path / "run", **dataset)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="environment"):
        environment_of(load_run(run))
    done = orl("evaluate", run, "--episodes", 1, "--no-bc")
    assert (done.code, done.out, len(done.err.splitlines())) == (3, "", 1)
    assert message in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_a_run_brings_no_file_of_elsewhere_into_its_copy(cloned: dict[str, Any], tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "secret"
    shutil.copytree(cloned["run"], run)
    secret.mkdir()
    (secret / "key").write_text("private")
    keep_run(run, tmp_path / "kept")
    assert (tmp_path / "kept" / "run.json").is_file()
    for link in (run / "notes", run / "checkpoints" / "notes"):
        link.symlink_to(secret)
        with pytest.raises(DataError, match=r"notes is a link to elsewhere; refused"):
            keep_run(run, tmp_path / "copy")
        link.unlink()
        assert not list(tmp_path.glob("copy*"))


def test_seeds_of_a_plan_are_numbers_and_no_paths(planned: dict[str, Any], tmp_path: Path) -> None:
    """`models/s{seed}` is a folder; what run.json says of seeds does not name it."""
    run = tmp_path / "plan"
    shutil.copytree(planned["run"], run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"seeds": ["/../../../elsewhere"]}))
    assert package.load_planner(run)([1.0, 0.0, 0.0]).shape == (1,)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("seeds = [\n    0,\n]", 'seeds = ["/../../../elsewhere"]'))
    assert "elsewhere" in (run / "config.toml").read_text()
    with pytest.raises((DataError, UsageError), match="seeds"):
        package.load_planner(run)


def test_a_pickle_in_place_of_a_checkpoints_files_is_never_run(cloned: dict[str, Any], tmp_path: Path) -> None:
    run, marker = tmp_path / "run", tmp_path / "ran"
    shutil.copytree(cloned["run"], run)
    payload = pickle.dumps(Payload(marker))
    for file in [path for path in (run / "checkpoints").rglob("*") if path.is_file()]:
        file.write_bytes(payload)
    with pytest.raises(DataError, match=r"cannot restore checkpoint|no complete checkpoint"):
        package.load_policy(run)
    assert not marker.exists()
    pickle.loads(payload)  # it is live
    assert marker.exists()
