"""The oldest versions that pyproject.toml allows, as constraints for pip: `python tests/compat/oldest.py`"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest(requirements: Iterable[str]) -> list[str]:
    """`name==version` for every requirement `name>=version`, sorted.

    Raises:
        ValueError: a requirement has no lower bound, so that nobody knows what it was tried with.
    """
    found = []
    for line in requirements:
        requirement = Requirement(line)
        bounds = [each.version for each in requirement.specifier if each.operator in (">=", "==")]
        if len(bounds) != 1:
            raise ValueError(f"{line} has no lower bound in {PROJECT.name}")
        found.append(f"{requirement.name}=={bounds[0]}")
    return sorted(set(found))


def required(extras: Iterable[str]) -> list[str]:
    """What the project needs at run time, with these extras."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    return project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]


if __name__ == "__main__":
    print("\n".join(lowest(required(sys.argv[1:]))))
