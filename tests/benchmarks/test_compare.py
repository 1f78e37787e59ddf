"""When a figure counts as fallen, and which files can be compared with at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl.errors import DataError, UsageError
from orl_bench.compare import Earlier, better_of, check_comparable, compare, failure, fell, read_earlier
from orl_bench.harness import Result

Make = Callable[..., Result]


def earlier(**figures: float) -> Earlier:
    return Earlier(Path("old.json"), "cpu", 2, True, {name: (value, "two twos") for name, value in figures.items()})


def test_a_fall_beyond_the_margin_counts_and_one_within_it_does_not() -> None:
    assert fell(0.8, 0.59, 0.25)
    assert not fell(0.8, 0.61, 0.25)
    assert not fell(0.8, 1.6, 0.0)


def test_each_line_has_its_own_margin_unless_one_is_given_for_all(made_result: Make) -> None:
    results = [made_result("a", 0.7), made_result("b", 0.7, margin=0.4), made_result("c", 0.9)]
    before = earlier(a=1.0, b=1.0, c=1.0)
    assert [line.verdict for line in compare(before, results)] == ["fell", "kept", "kept"]
    assert [line.verdict for line in compare(before, results, margin=0.35)] == ["kept", "kept", "kept"]
    assert [line.verdict for line in compare(before, results, margin=0.05)] == ["fell", "fell", "fell"]


def test_a_failure_says_from_where_to_where_and_what_was_allowed(made_result: Make) -> None:
    line = compare(earlier(a=0.5), [made_result("a", 0.3)])[0]
    assert failure(line, "matmul") == "a fell from 0.5 to 0.3 of matmul, by 40%; 25% is allowed"


def test_what_is_in_one_run_only_is_reported_and_never_fails(made_result: Make) -> None:
    results = [made_result("a", 0.1, workload="another"), made_result("n", 0.1)]
    lines = {line.name: line for line in compare(earlier(a=1.0, gone=1.0), results)}
    assert {name: line.verdict for name, line in lines.items()} == {
        "a": "other workload",
        "n": "new",
        "gone": "missing",
    }
    assert (lines["n"].before, lines["gone"].before, lines["gone"].now) == (None, 1.0, None)
    assert [line.name for line in compare(earlier(a=1.0, gone=1.0), results, whole=False)] == ["a", "n"]


def test_of_two_measurements_the_better_counts(made_result: Make) -> None:
    first = [made_result("a", 0.3), made_result("b", 0.5), made_result("c", 0.5)]
    best = better_of(first, [made_result("a", 0.6), made_result("b", 0.4)])
    assert [(result.name, result.relative) for result in best] == [("a", 0.6), ("b", 0.5), ("c", 0.5)]


def test_other_devices_and_other_sizes_are_refused() -> None:
    check_comparable(earlier(), "cpu", True)
    with pytest.raises(UsageError, match=r"old.json: measured on cpu, this is NVIDIA H100; shares of unlike chips"):
        check_comparable(earlier(), "NVIDIA H100", True)
    with pytest.raises(UsageError, match="it holds a quick run, this is a full one"):
        check_comparable(earlier(), "cpu", False)


def document(made_result: Make, **changes: Any) -> dict[str, Any]:
    lines = [made_result("a", 0.5).as_dict()]
    return {"schema": 1, "device": "cpu", "cores": 2, "quick": True, "results": lines} | changes


def test_what_one_run_writes_the_next_can_read(made_result: Make, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document(made_result)))
    assert read_earlier(path) == Earlier(path, "cpu", 2, True, {"a": (0.5, "two twos")})


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"results": None},
        {"results": [{"name": "a"}]},
        {"results": [{"name": "a", "workload": "w", "relative": float("nan")}]},
        {"results": [{"name": "a", "workload": "w", "relative": "fast"}]},
        {"results": [{"name": "a", "workload": "w", "relative": 0}]},
        {"cores": "many"},
    ],
)
def test_another_document_is_one_line(made_result: Make, tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document(made_result, **changes)))
    with pytest.raises(DataError, match=r"old.json is not (a document of `orl bench --out`|valid JSON)") as caught:
        read_earlier(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_json_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_earlier(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_earlier(tmp_path / "bad.json")
