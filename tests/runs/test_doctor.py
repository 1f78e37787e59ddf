"""`orl doctor`: what it calls missing, too old or broken, on made-up installations and where jax does not import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from orl.runs import doctor_machine, doctor_packages, doctor_simulators
from orl.runs.doctor import Check, State, answered
from orl.runs.doctor_packages import Lack, extra, imports, lacking, python
from orl.runs.doctor_simulators import datasets, mujoco, step_of

THERE = {"sim": "1.5", "engine": "3.4.0", "plots": "2.0"}
NEEDS = {
    "sim": ["base>=1", "engine>=2; extra == 'engine'", "window>=4; extra == 'engine'", "lens; extra == 'other'"],
    "engine": [],
    "plots": [],
}


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("engine>=3.4,<3.5", []),
        ("engine>=3.5", [Lack("engine", "3.4.0", ">=3.5")]),
        ("engine<3.4", [Lack("engine", "3.4.0", "<3.4")]),
        ("paint", [Lack("paint", None, "")]),
        ("sim", []),  # what it needs itself is its own affair
        ("sim[engine]>=1", [Lack("window", None, ">=4")]),  # but the extras that are asked for are ours
        ("sim[engine]>=2", [Lack("sim", "1.5", ">=2")]),
    ],
)
def test_what_a_requirement_lacks(requirement: str, found: list[Lack]) -> None:
    assert lacking(Requirement(requirement), THERE.get, NEEDS.__getitem__) == found


def test_an_extra_is_whole_or_says_what_it_lacks_and_how_to_get_it() -> None:
    needs = ["numpy>=2", "sim[engine]>=1; extra == 'play'", "plots>=3; extra == 'draw'", "plots>=1; extra == 'show'"]
    needs += ["gone>=1; extra == 'show' and python_version < '3'", "core>=1; python_version > '3'"]
    whole = extra("show", needs, THERE.get, NEEDS.__getitem__)
    assert whole == Check("extras", "show", State.ok, "plots")
    lacks = extra("play", needs, THERE.get, NEEDS.__getitem__)
    assert lacks == Check("extras", "play", State.note, "window is not there (wants >=4)", "pip install 'orl[play]'")
    old = extra("draw", needs, THERE.get, NEEDS.__getitem__)
    assert old == Check("extras", "draw", State.note, "plots 2.0 (wants >=3)", "pip install 'orl[draw]'")


def test_bounds_of_python() -> None:
    assert [python(version, ">=3.11").state for version in ("3.11.0", "3.13.0rc1", "3.10.14")] == ["ok", "ok", "fault"]
    assert python("3.10.14", ">=3.11").remedy == "make the environment anew with a Python >=3.11"


def test_this_installation_is_whole() -> None:
    checks = {check.name: check for check in doctor_packages.packages()}
    assert {check.state for check in checks.values()} == {State.ok}
    assert {"python", "jax", "numpy", "rich", "orbax-checkpoint"} <= set(checks)
    assert checks["jax"].found == metadata.version("jax")


def test_a_package_that_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_package.py").write_text("raise OSError('libtorn.so: cannot open\\nmore of it')")
    monkeypatch.syspath_prepend(str(tmp_path))
    check = imports(Check("packages", "torn-package", State.ok, "1.2"))
    assert check.state is State.fault
    assert check.found == "1.2 fails to import: OSError: libtorn.so: cannot open"
    assert check.remedy == "pip install --force-reinstall 'torn-package==1.2'"


def test_jax_that_does_not_import_is_one_line_and_the_rest_is_looked_at(sandbox: Path, tmp_path: Path) -> None:
    (tmp_path / "jax.py").write_text("raise ImportError('no module named jaxlib')")
    before = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{before}"}
    words = [sys.executable, "-m", "orl_cli.main", "doctor"]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (5, "")
    document = json.loads(done.stdout)
    assert document["healthy"] is False
    faults = [check for check in document["checks"] if check["state"] == "fault"]
    assert [fault["name"] for fault in faults] == ["jax"]
    assert "fails to import: ImportError: no module named jaxlib" in faults[0]["found"]
    found = {check["name"]: check["found"] for check in document["checks"]}
    assert found["devices"] == found["environments"] == "not looked at: jax does not import"
    assert "free" in found["memory"]
    assert found["numpy"] == metadata.version("numpy")


def test_datasets_are_counted_and_broken_ones_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "none"))
    (none,) = datasets()
    assert (none.state, none.found.split(" in ")[0]) == (State.ok, "none yet")
    for name, text in (("good-v0", "{}"), ("plant/bad-v1", "{"), ("plant/list-v1", "[]")):
        folder = tmp_path / "some" / name / "data"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text(text)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "some"))
    counted, broken = datasets()
    assert counted.found.startswith(f"3 in {tmp_path / 'some'}, ")
    assert (broken.state, broken.found) == (State.fault, "2 with unreadable metadata: plant/bad-v1, plant/list-v1")


def test_a_file_in_the_way_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    check = doctor_machine.cache(tmp_path / "file" / "xla")
    assert (check.state, check.found) == (State.note, f"{tmp_path / 'file' / 'xla'} cannot be written to")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "minari"))
    assert [check.state for check in datasets()] == [State.ok, State.fault]


def test_the_cache_is_weighed(tmp_path: Path) -> None:
    assert doctor_machine.cache(tmp_path).found == f"{tmp_path}: empty"
    (tmp_path / "a").write_bytes(bytes(1500))
    (tmp_path / "b").write_bytes(bytes(500))
    assert doctor_machine.cache(tmp_path).found == f"{tmp_path}: 2 kB in 2 files"


def test_a_step_in_an_environment(tmp_path: Path) -> None:
    steps = step_of({"env_id": "Pendulum-v1"})
    assert steps.state is State.ok
    assert steps.found.startswith("steps (reward -")
    unknown = step_of({"env_id": "Pendulums-v1"})
    assert (unknown.state, "did you mean Pendulum-v1" in unknown.found) == (State.note, True)
    code = step_of({"env_id": "Pendulum-v1", "env_spec": json.dumps({"entry_point": "subprocess:Popen"})})
    assert "refused without --trust-env" in code.found
    broken = step_of({"env_id": "Pendulum-v1", "env_kwargs": {"g": None}})
    assert (broken.state, broken.found.split(":")[0]) == (State.fault, "does not step")


@pytest.mark.parametrize(
    ("version", "state", "says"),
    [(None, "note", "not installed"), ("3.5.1", "fault", "3.5.1 (wants <3.5,>=3.4)"), ("3.3.0", "fault", "3.3.0 (")],
)
def test_mujoco_outside_of_its_bounds(
    version: str | None, state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_simulators, "installed_version", lambda name: version)
    monkeypatch.setattr(doctor_simulators, "imports", lambda check: check)
    (check,) = mujoco()
    assert (check.state, check.found.startswith(says)) == (state, True)
    assert check.remedy == "pip install 'orl[mujoco]'"


def test_an_idle_gpu_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(doctor_machine, "NVIDIA_DRIVER", tmp_path)
    idle = [check for check in doctor_machine.devices() if check.name == "gpu"]
    assert [(check.state, check.remedy) for check in idle] == [(State.note, "pip install 'orl[cuda]'")]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # the user's own choice
    assert [check.name for check in doctor_machine.devices()] == ["devices"]


def test_what_breaks_while_it_is_looked_at_is_a_finding() -> None:
    def look() -> list[Check]:
        raise PermissionError("no")

    assert answered("data", "datasets", look) == [Check("data", "datasets", State.fault, "PermissionError: no")]


def test_the_program_lists_all_and_ends_with_its_verdict(orl: Callable[..., Any], pendulum_log: str) -> None:
    done = orl("doctor")
    assert done.code == 0, done.out
    assert done.out.rstrip().splitlines()[-1].startswith("all that is needed is here and works")
    assert all(len(line) <= 80 for line in done.out.splitlines())
    for words in ("jax", "Pendulum-v1", "compilation"):
        assert words in done.out
    assert re.search(r"\b[1-9]\d* in\b", done.out)  # datasets; other tests may have recorded more of them
