"""Every case by name, and what was recorded of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import algorithm_cases
import ensemble_cases
import sequence_cases
from digest import Digest

VALUES = Path(__file__).with_name("values.json")
CASES = ensemble_cases.CASES | algorithm_cases.CASES | sequence_cases.CASES


@functools.cache
def recorded() -> dict[str, Digest]:
    """The digests of all cases, as `record.py` wrote them."""
    return json.loads(VALUES.read_text())
