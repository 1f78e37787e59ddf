"""What a report shows of the data, on arrays worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_report_runs import made_policy

from orl.runs.directory import load_run
from orl.runs.report.log import BINS, histogram, principal_axes, read_log, remembering, state_map
from orl.runs.report.sources import Source
from orl.runs.reporter import Reporter


def test_a_histogram_counts_every_finite_value() -> None:
    found = histogram(np.array([0.0, 0.0, 3.0, np.nan, np.inf]))
    assert (len(found["counts"]), found["counts"][0], found["counts"][-1]) == (BINS, 2, 1)
    assert (found["edges"][0], found["edges"][-1], sum(found["counts"])) == (0.0, 3.0, 3)
    wide = histogram(np.array([0.0]), (-1.0, 1.0))
    assert (wide["edges"][0], wide["edges"][-1], sum(wide["counts"])) == (-1.0, 1.0, 1)
    assert histogram(np.array([5.0, 5.0]))["edges"][0] == 4.5
    assert histogram(np.array([np.nan])) == {"edges": [], "counts": []}


def test_principal_axes_of_a_plane() -> None:
    """Rows along (3, 4) / 5 with variance 4 and along (-4, 3) / 5 with variance 1."""
    rows = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    axes, share = principal_axes(rows)
    assert axes == pytest.approx(np.array([[0.6, 0.8], [0.8, -0.6]]))
    assert share == pytest.approx([0.8, 0.2])


def test_the_map_of_states_counts_rows_in_cells() -> None:
    obs = np.array([[-1.0, -1.0, 7.0]] * 3 + [[1.0, 1.0, 7.0]] * 2 + [[1.0, -1.0, 7.0]])
    found = state_map(obs)
    assert found is not None
    assert found["rows"] == 6
    assert sorted(cell[4] for cell in found["cells"]) == [1.0, 2.0, 3.0]
    assert sum(found["share"]) == pytest.approx(1.0)
    assert state_map(np.ones((5, 3))) is None
    assert state_map(np.arange(5.0)[:, None]) is None


def test_data_that_are_gone_are_a_line_and_no_error(tmp_path: Path) -> None:
    source = Source(load_run(made_policy(tmp_path / "run")))
    found = read_log(source, Reporter())
    assert found["summary"] is None
    assert "no/such-v0" in found["missing"]


def test_data_are_read_once_while_runs_are_followed(tmp_path: Path) -> None:
    asked: list[str] = []
    read = remembering(lambda source, reporter: asked.append(source.name) or {"summary": None, "missing": "x"})
    source = Source(load_run(made_policy(tmp_path / "run")))
    assert read(source, Reporter()) == read(source, Reporter()) == {"summary": None, "missing": "x"}
    assert asked == ["mopo"]
