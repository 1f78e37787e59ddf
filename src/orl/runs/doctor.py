"""`orl doctor`: whether what `orl` needs is here and works, and which command brings what is not.

Nothing here imports jax before it is known to import: a broken installation is what a doctor is called for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orl.documents import brief


class State(StrEnum):
    """`note`: something optional is not here, or costs something. `fault`: what is needed is missing or broken."""

    ok = "ok"
    note = "note"
    fault = "fault"


class Check(NamedTuple):
    """One line of the doctor's findings; `remedy` is a command or a sentence, None where there is nothing to do."""

    section: str
    name: str
    state: State
    found: str
    remedy: str | None = None


def examine(cache: Path) -> list[Check]:
    """Everything that is looked at, in the order of the table.

    Args:
        cache: folder of the persistent compilation cache.
    """
    from orl.runs import doctor_machine, doctor_packages, doctor_simulators

    packages = doctor_packages.packages()
    jax_imports = not any(check.name == "jax" and check.state is State.fault for check in packages)
    return [
        *packages,
        *answered("machine", "devices", doctor_machine.devices, jax_imports),
        *answered("machine", "memory and cores", lambda: doctor_machine.memory_and_cores(jax_imports)),
        *answered("machine", "compilation cache", lambda: [doctor_machine.cache(cache)]),
        *answered("machine", "variables", doctor_machine.variables),
        *answered("data", "datasets", doctor_simulators.datasets),
        *answered("simulators", "environments", doctor_simulators.simulators, jax_imports),
        *answered("extras", "extras", doctor_packages.extras),
    ]


def answered(section: str, name: str, look: Callable[[], Sequence[Check]], possible: bool = True) -> list[Check]:
    """What `look` finds; where it breaks down, that is the finding; where it needs a jax that fails, nothing is.

    The doctor has to finish whatever is broken, so every exception is an answer here.
    """
    if not possible:
        return [Check(section, name, State.note, "not looked at: jax does not import")]
    try:
        return list(look())
    except Exception as error:
        return [Check(section, name, State.fault, said(error))]


def said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {brief(str(error))}"
