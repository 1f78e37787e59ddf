"""What there is to learn from and to play in: the datasets on disk, and a step in every environment they name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from packaging.requirements import Requirement

from orl.data.local import datasets_path, local_ids, read_metadata
from orl.errors import DataError, MissingError, OrlError
from orl.host_memory import size
from orl.runs.doctor import Check, State, said
from orl.runs.doctor_machine import is_writable
from orl.runs.doctor_packages import applies, imports, installed_version, needed_by
from orl.runs.video_backend import choose_backend

EMBEDDED = "Pendulum-v1"  # what the embedded datasets are recorded in: it has to work
MUJOCO_IDS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5")  # of the presets in experiments/mujoco
LISTED = 3  # names of datasets in a line


def datasets() -> list[Check]:
    """The folder of Minari's datasets, how many can be read, and the room that is left."""
    folder, broken, found = datasets_path(), [], local_ids()
    for name in found:
        try:
            read_metadata(name)
        except DataError:
            broken.append(name)
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    room = size(shutil.disk_usage(there).free)
    counted = f"{len(found)} in {folder}, {room} free" if found else f"none yet in {folder}, {room} free"
    checks = [Check("data", "datasets", State.ok, counted)]
    if not is_writable(folder):
        remedy = "make it writable, or name another folder with MINARI_DATASETS_PATH"
        checks.append(Check("data", "datasets", State.fault, f"{folder} cannot be written to", remedy))
    if broken:
        listed = ", ".join(broken[:LISTED]) + (", …" if len(broken) > LISTED else "")
        remedy = "fetch or record them again, or remove their folders"
        checks.append(
            Check("data", "datasets", State.fault, f"{len(broken)} with unreadable metadata: {listed}", remedy)
        )
    return checks


def simulators() -> list[Check]:
    """MuJoCo's version, and a step in the embedded datasets' environment, MuJoCo's, and those that datasets name."""
    checks = [step_of({"env_id": EMBEDDED}), *mujoco()]
    ids = {EMBEDDED}
    if checks[-1].state is State.ok:
        checks += [drawing(), *(step_of({"env_id": each}) for each in MUJOCO_IDS)]
        ids |= {*MUJOCO_IDS}
    for recorded in recorded_environments():
        if recorded["env_id"] not in ids:
            ids.add(recorded["env_id"])
            checks.append(step_of(recorded))
    return checks


def mujoco() -> list[Check]:
    """MuJoCo within the bounds of our extra: outside of them its physics is not that of the published datasets."""
    wanted = next(
        requirement.specifier
        for text in needed_by("orl")
        if applies(requirement := Requirement(text), "mujoco") and requirement.name == "mujoco"
    )
    version, command = installed_version("mujoco"), "pip install 'orl[mujoco]'"
    if version is None:
        return [Check("simulators", "mujoco", State.note, "not installed", command)]
    check = imports(Check("simulators", "mujoco", State.ok, version))
    if check.state is State.ok and not wanted.contains(version, prereleases=True):
        found = f"{version} (wants {wanted}): returns are not comparable with published ones"
        return [check._replace(state=State.fault, found=found, remedy=command)]
    return [check]


def drawing() -> Check:
    """How MuJoCo draws its pictures, which only `orl evaluate --video` wants."""
    try:
        backend = choose_backend()
    except MissingError as error:
        return Check("simulators", "mujoco's pictures", State.note, str(error))
    return Check("simulators", "mujoco's pictures", State.ok, f"by {backend or 'its own choice'}")


def step_of(recorded: Mapping[str, Any]) -> Check:
    """One reset and one step in the environment that a log names; one that wants trust or a package is only a note."""
    from orl.evaluation.episodes import make_envs
    from orl.evaluation.recorded_env import recorded_env

    name = str(recorded["env_id"])
    try:
        env = recorded_env({"env_kwargs": {}} | dict(recorded))
        assert env is not None
        with closing(make_envs(env, 1)) as envs:
            envs.reset(seed=0)
            envs.action_space.seed(0)
            _, reward, *_ = envs.step(envs.action_space.sample())
    except OrlError as error:  # a package or trust is wanted, which only the embedded one must not
        return Check("simulators", name, State.fault if name == EMBEDDED else State.note, str(error))
    except Exception as error:  # a simulator is somebody else's code: its failure is what we look for
        return Check("simulators", name, State.fault, f"does not step: {said(error)}")
    return Check("simulators", name, State.ok, f"steps (reward {float(reward[0]):.3g})")


def recorded_environments() -> list[dict[str, Any]]:
    """What the datasets on disk say of their environments, those that name one."""
    from orl.data.readers.minari import env_fields

    found = []
    for name in local_ids():
        try:
            fields = env_fields(read_metadata(name))
        except DataError:  # `datasets` says so
            continue
        if fields["env_id"]:
            found.append(fields)
    return found
