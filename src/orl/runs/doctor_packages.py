"""What is installed, held to the bounds that the package itself declares (its own metadata, so those of pyproject)."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from graphlib import TopologicalSorter
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from orl.runs.doctor import Check, State, said

MODULES = {"orbax-checkpoint": "orbax.checkpoint"}  # where the module is not called what the package is

Installed = Callable[[str], str | None]  # the version of a package, None where it is not there
Needs = Callable[[str], list[str]]  # its requirements as its metadata spell them


class Lack(NamedTuple):
    """A package that does not meet a requirement; `version` is None where it is not there."""

    name: str
    version: str | None
    wanted: str

    def __str__(self) -> str:
        bounds = f" (wants {self.wanted})" if self.wanted else ""
        return f"{self.name} {self.version}{bounds}" if self.version else f"{self.name} is not there{bounds}"


def packages() -> list[Check]:
    """Python, and every package that is needed: its version within the bounds, and that it imports."""
    try:
        needs = needed_by("orl")
    except metadata.PackageNotFoundError:
        remedy = "pip install -e . in the folder of the sources"
        return [Check("packages", "orl", State.fault, "not installed, so its requirements are not known", remedy)]
    wanted = metadata.metadata("orl")["Requires-Python"] or ""
    required = {each.name: each for each in map(Requirement, needs) if applies(each, "")}
    there = [name for name in required if installed_version(name)]
    depends = {name: names_of(needed_by(name)) & set(required) for name in there}
    checks: dict[str, Check] = {}
    broken: set[str] = set()
    for name in TopologicalSorter({name: sorted(depends.get(name, ())) for name in required}).static_order():
        check, needs_broken = package(required[name]), bool(broken & depends.get(name, set()))
        if check.state is State.ok and not needs_broken:  # else its import fails for what another one lacks
            check = imports(check)
        if needs_broken or check.state is State.fault:
            broken.add(name)
        checks[name] = check
    return [python(platform.python_version(), wanted), *(checks[name] for name in sorted(checks))]


def python(version: str, wanted: str) -> Check:
    """The interpreter's version within `wanted`, such as ">=3.11"."""
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    remedy = None if fits else f"make the environment anew with a Python {wanted}"
    return Check("packages", "python", State.ok if fits else State.fault, version, remedy)


def package(requirement: Requirement) -> Check:
    """A required package, and what it requires with the extras that are asked of it."""
    lacks = lacking(requirement)
    command = f"pip install '{requirement}'"
    if lacks:
        return Check("packages", requirement.name, State.fault, ", ".join(map(str, lacks)), command)
    return Check("packages", requirement.name, State.ok, installed_version(requirement.name) or "")


def imports(check: Check) -> Check:
    """`check` of a package that is there, or what happens when it is imported."""
    try:
        importlib.import_module(MODULES.get(check.name, check.name.replace("-", "_")))
    except Exception as error:  # whatever it is, it is what a user of the package would meet
        remedy = f"pip install --force-reinstall '{check.name}=={check.found}'"
        return check._replace(state=State.fault, found=f"{check.found} fails to import: {said(error)}", remedy=remedy)
    return check


def extras() -> list[Check]:
    """Every optional extra: whole, or what it lacks and the command that installs it."""
    needs = needed_by("orl")
    names = metadata.metadata("orl").get_all("Provides-Extra") or []
    return [extra(name, needs, installed_version, needed_by) for name in sorted(names)]


def extra(name: str, needs: list[str], installed: Installed, needed: Needs) -> Check:
    """The extra `name` of a package with the requirements `needs`. Too old a version there is no fault: it may never
    be used, and what uses it says so."""
    chosen = [requirement for text in needs if applies(requirement := Requirement(text), name)]
    lacks = {lack for requirement in chosen for lack in lacking(requirement, installed, needed)}
    if lacks:
        found = ", ".join(map(str, sorted(lacks)))
        return Check("extras", name, State.note, found, f"pip install 'orl[{name}]'")
    return Check("extras", name, State.ok, ", ".join(sorted(requirement.name for requirement in chosen)))


def lacking(requirement: Requirement, installed: Installed | None = None, needed: Needs | None = None) -> list[Lack]:
    """What is missing of a requirement: the package itself, its bounds, and whatever the extras in it ask for."""
    installed, needed = installed or installed_version, needed or needed_by
    version = installed(requirement.name)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return [Lack(requirement.name, version, str(requirement.specifier))]
    inner = [Requirement(text) for text in needed(requirement.name)] if requirement.extras else []
    asked = [each for each in inner for name in requirement.extras if applies(each, name)]
    return [lack for each in asked for lack in lacking(each, installed, needed)]


def applies(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement is of `extra` ("": of the package itself) on this machine."""
    if requirement.marker is None:
        return not extra
    return requirement.marker.evaluate({"extra": extra}) and (not extra or "extra" in str(requirement.marker))


def installed_version(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def needed_by(name: str) -> list[str]:
    """The requirements of an installed package, as its metadata spell them."""
    return metadata.requires(name) or []


def names_of(requirements: list[str]) -> set[str]:
    """The packages that are named, those of extras left out."""
    return {each.name for each in map(Requirement, requirements) if applies(each, "")}
