"""What the audit says of real logs, known from their descriptions: nothing that is not there, and what is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orl.data import pendulum
from orl.data.audit.audit import audit
from orl.data.catalog import load

pytestmark = pytest.mark.slow


def serious(name: str) -> set[tuple[str, str, str]]:
    findings = audit(load(name, checked=False)).findings
    return {(found.check, found.severity, found.where) for found in findings if found.severity != "note"}


@pytest.mark.parametrize("name", pendulum.RECIPES)
def test_the_embedded_logs_are_sound(name: str, minari_root: Path) -> None:
    assert serious(name) == set()


@pytest.mark.parametrize("name", ["sac/hopper/medium-v0", "sac/hopper/medium-replay-v0"])
def test_hopper_is_markov(name: str, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(shared("minari")))
    assert serious(name) == set()


@pytest.mark.parametrize("name", ["SafetyHalfCheetah-high-100000-train", "RandomFrictionHopper-high-20000-val"])
def test_simulated_bodies_are_sound(name: str, shared: Callable[[str], Path]) -> None:
    assert serious(str(shared(f"neorl2/{name}.npz"))) == set()


def test_a_mass_spring_damper_under_full_force(shared: Callable[[str], Path]) -> None:
    """Set points jump in two columns, which is no fault; the first force is at its bounds most of the time."""
    found = serious(str(shared("neorl2/DMSD-high-100000-train.npz")))
    assert found == {("saturation", "warning", "action column 0")}


def test_glucose_needs_memory(shared: Callable[[str], Path]) -> None:
    """Of 31 columns 30 describe the patient, four of them the same for all; glucose goes on as it went before."""
    found = serious(str(shared("neorl2/Simglucose-high-100000-train.npz")))
    assert found == {("missing memory", "warning", "obs column 0")} | {
        ("constant", "warning", f"obs column {column}") for column in (2, 10, 17, 18)
    }
