"""Figures as values: where names go, where axes end, what the table holds; and the contrast of their colours."""

from __future__ import annotations

import itertools

import pytest

from orl.runs.report.colours import DARK, LIGHT, rules
from orl.runs.report.figures_methods import Palette, promise_figure
from orl.runs.report.figures_models import calibration_figure, horizon_figure, k_step_figure
from orl.runs.report.plots import SERIES, Axis, Line, colour_of, lines, shortened, spread_apart


def test_names_are_moved_apart_and_stay_inside() -> None:
    assert spread_apart([1.0, 1.0, 5.0], 0.5, 0.0, 10.0) == [1.0, 1.5, 5.0]
    assert spread_apart([9.9, 10.0, 9.8], 1.0, 0.0, 10.0) == [9.0, 10.0, 8.0]
    assert spread_apart([], 1.0, 0.0, 1.0) == []


def test_long_names_keep_both_ends() -> None:
    assert shortened("mopo") == "mopo"
    assert shortened("orl-pendulum-mixed-v0-mopo-5000-s0-68b3") == "orl-pendulum…0-s0-68b3"


def test_lines_have_a_table_a_band_and_a_name_each() -> None:
    found = lines("t", "a", Axis("x"), Axis("y"), [Line("one", [1, 2], [3.0, None], "c", [2.0, 2.5], [4.0, 4.5])])
    assert (found.columns, found.rows) == (["x", "one"], [[1, 3.0], [2, None]])
    band, line, reading, name = found.spec["layer"]
    assert band["data"]["values"] == [{"x": 1, "l": 2.0, "h": 4.0}, {"x": 2, "l": 2.5, "h": 4.5}]
    assert line["data"]["values"] == [{"x": 1, "y": 3.0}, {"x": 2, "y": None}]
    assert [field["title"] for field in reading["encoding"]["tooltip"]] == ["x", "one"]
    assert name["data"]["values"] == [{"x": 1, "y": 3.0, "t": "one", "c": "c"}]


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 1.0), (4.0, 2.0, 6.0), (-4.0, -6.0, -2.0)])
def test_an_axis_is_opened_around_a_value_that_never_changes(value: float, low: float, high: float) -> None:
    found = lines("t", "a", Axis("x"), Axis("y"), [Line("one", [1, 2], [value, value], "c")])
    scale = found.spec["encoding"]["y"]["scale"]
    assert (scale["domainMin"], scale["domainMax"]) == (low, high)


def test_errors_that_run_away_do_not_set_the_axis() -> None:
    errors = {"model": [0.1, 90.0], "linear": [0.2, None], "persistence": [0.5, 0.7]}
    found = horizon_figure("ensemble", {"horizon": {"error": errors, "break_even": {"persistence": 2}}})
    assert found.spec["encoding"]["y"]["scale"]["domainMax"] == 1.4
    assert "From step 2 on" in found.alt
    assert found.rows == [[1, 0.1, 0.2, 0.5], [2, 90.0, None, 0.7]]


def test_the_error_of_no_change_comes_from_the_ratio() -> None:
    found = k_step_figure("ensemble", {"1": {"rmse": 0.1, "rmse_over_persistence": 0.5}, "5": {"rmse": 0.3,
                          "rmse_over_persistence": 2.0}})  # fmt: skip
    assert found.rows == [[1, 0.1, 0.2], [5, 0.3, 0.15]]


def test_calibration_shows_the_mean_and_the_range_of_observations() -> None:
    coverage = [[0.4, 0.6, 0.5], [0.8, 1.0, 0.9]]
    found = calibration_figure({"columns": ["obs 0", "obs 1", "reward"], "levels": [0.5, 0.9], "coverage": coverage,
                                "expected_calibration_error": 0.1, "rows": 9})  # fmt: skip
    assert found.columns[1:] == ["calibrated", "observations", "reward"]
    assert [row[2:] for row in found.rows if row[0] in (0.5, 0.9)] == [[0.5, 0.5], [0.9, 0.9]]
    assert found.spec["layer"][0]["data"]["values"] == [{"x": 0.5, "l": 0.4, "h": 0.6}, {"x": 0.9, "l": 0.8, "h": 1.0}]


def test_the_gap_of_a_promise_is_its_excess_over_the_truth() -> None:
    promise = {"promised": 90.0, "true": 40.0, "gap": 50.0}
    methods = [{"label": "mbpo", "promise": promise}, {"label": "bc", "promise": None},
               {"label": "x", "promise": {"promised": None, "true": 1.0, "gap": None}}]  # fmt: skip
    found = promise_figure(methods, "score", Palette(methods))
    assert found is not None
    assert found.rows == [["mbpo", 40.0, 90.0, 50.0]]
    assert "mbpo's, +50.0" in found.alt
    assert promise_figure(methods[1:], "score", Palette(methods)) is None


def test_colours_come_again_dashed() -> None:
    assert colour_of(0) == (SERIES[0], [])
    assert colour_of(9) == (SERIES[1], [6, 3])


def luminance(colour: str) -> float:
    """WCAG 2.1's relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_and_lines_can_be_told_from_the_paper(colours: dict[str, str]) -> None:
    """AA asks 4.5 of text; names of lines are text in the lines' colours."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    written = [name for name in colours if name not in ("paper", "raised", "line")]
    for name, paper in itertools.product(written, ("paper", "raised")):
        if paper == "paper" or not name.startswith("series"):
            assert contrast(colours[name], colours[paper]) >= 4.5, (name, paper)
    assert set(LIGHT) == set(DARK)


def test_paper_is_light_whatever_the_screen_is() -> None:
    light, dark = rules().splitlines()
    assert light.startswith(":root")
    assert f"--ink: {LIGHT['ink']};" in light
    assert dark.startswith("@media screen and (prefers-color-scheme: dark)")
