"""Fixtures of the data tests: a datasets folder of their own, and the real logs where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty datasets folder, so that nothing is read from or written to the home folder."""
    root = tmp_path / "minari"
    root.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Path of a real log beside the repository; skips the test where it is absent."""

    def find(name: str) -> Path:
        default = Path(__file__).resolve().parents[3] / "shared" / "data"
        path = Path(os.environ.get("ORL_SHARED_DATA", default)) / name
        if not path.exists():
            pytest.skip(f"needs the real log {name} (ORL_SHARED_DATA)")
        return path

    return find
