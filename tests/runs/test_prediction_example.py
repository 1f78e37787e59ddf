"""What `orl predict` keeps of its first start, for a report to draw."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from orl.runs.predict import example_of
from orl.runs.report.records import Example, as_kind


def test_the_first_start_is_kept_with_every_draw(tmp_path: Any) -> None:
    """Two starts, two steps, two dimensions, two draws; what is not finite is null."""
    real = np.arange(8.0).reshape(2, 2, 2)
    drawn = np.stack([real + 0.5, np.full_like(real, np.inf)])
    stretches: Any = SimpleNamespace(real=real, past=SimpleNamespace(now=np.array([[9.123456, -1.0], [7.0, 7.0]])))
    found = example_of(stretches, {"ensemble": drawn})
    assert found["start"] == [9.123, -1.0]
    assert found["real"] == [[0.0, 1.0], [2.0, 3.0]]
    assert found["predicted"] == {"ensemble": [[[0.5, 1.5], [2.5, 3.5]], [[None, None], [None, None]]]}
    assert as_kind(tmp_path / "prediction.json", found, Example).start == [9.123, -1.0]
