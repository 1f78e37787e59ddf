"""The oldest set that CI installs is the one that pyproject.toml states."""

from __future__ import annotations

import pytest
from oldest import lowest, required


def test_the_lower_bound_of_every_requirement_is_pinned() -> None:
    assert lowest(["b>=2.1,<3", "a[extra]>=1.0", "a>=1.0"]) == ["a==1.0", "b==2.1"]


def test_a_requirement_without_a_lower_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="c<3 has no lower bound"):
        lowest(["b>=2.1", "c<3"])


def test_every_requirement_of_the_project_is_among_them() -> None:
    pinned = {line.split("==")[0] for line in lowest(required(["mujoco"]))}
    assert {"jax", "flax", "minari", "numpy", "polars", "typer", "mujoco"} <= pinned
