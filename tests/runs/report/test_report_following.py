"""Following a run that is under way, and the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_report_runs import made_policy

from orl.errors import MissingError, UsageError
from orl.runs.report import page
from orl.runs.report.write import follow, write_report

UNPLAYED = shutil.ignore_patterns("eval")  # other tests evaluate the runs that all share


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plotting library of one line, where no browser is asked."""
    library = lambda: "window.vegaEmbed = null;"  # noqa: E731
    monkeypatch.setattr(page, "plotting_library", library)
    monkeypatch.setattr("orl.runs.report.write.plotting_library", library)


def set_status(run: Path, status: str) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": status}))


def test_a_run_is_followed_to_its_end(library: None, tmp_path: Path) -> None:
    """Written at first and when a row came, not when nothing did; the last page no longer loads itself anew."""
    run, out = made_policy(tmp_path / "run", status="running"), tmp_path / "report.html"
    pages: list[tuple[bool, bool]] = []

    def look(seconds: float) -> None:
        text = out.read_text()
        pages.append(("Value that the critics give" in text, 'http-equiv="refresh"' in text))
        if len(pages) == 2:
            with (run / "metrics.jsonl").open("a") as file:
                file.write('{"step": 10, "seed": 0, "q": 1.0}\n{"step": 20, "se')
        if len(pages) == 4:
            set_status(run, "finished")
        if len(pages) > 9:
            pytest.fail("the end was not noticed")

    document = follow([run], out, data=False, every=0, look=look)
    assert pages == [(False, True), (False, True), (True, True), (True, True)]
    assert document["unfinished"] == []
    assert 'http-equiv="refresh"' not in out.read_text()


def test_a_page_is_not_written_more_often_than_asked(library: None, tmp_path: Path) -> None:
    run, out = made_policy(tmp_path / "run", status="running"), tmp_path / "report.html"
    times: list[int] = []

    def look(seconds: float) -> None:
        times.append(out.stat().st_mtime_ns)
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": len(times), "seed": 0, "q": 1.0}) + "\n")
        if len(times) == 3:
            set_status(run, "finished")

    follow([run], out, data=False, every=3600, look=look)
    assert len(set(times)) == 1


@pytest.mark.parametrize("name", ["report", "report.txt"])
def test_a_page_needs_a_name_of_its_kind(name: str, tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run")
    with pytest.raises(UsageError, match=r"a report is an \.html file"):
        write_report([run], tmp_path / name, data=False)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_report([run], tmp_path / "folder.html", data=False)


def test_without_the_extra_there_is_one_line_and_no_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, orl: Callable[..., Any]
) -> None:
    run = made_policy(tmp_path / "run")
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    page.plotting_library.cache_clear()
    done = orl("report", run, "-o", tmp_path / "report.html", "--no-data")
    assert (done.code, done.out) == (MissingError.exit_code, "")
    assert done.err == "orl: the report's plots need vl-convert; install it with: pip install 'orl[report]'\n"
    assert not (tmp_path / "report.html").exists()


def test_the_command_reports_real_runs(
    library: None, orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "report.html"
    runs = [shutil.copytree(each["run"], tmp_path / each["algorithm"], ignore=UNPLAYED) for each in (mopo, cloned)]
    done = orl("report", *runs, "-o", out, "--json", "-q")
    assert done.code == 0, done.err
    document = done.document
    assert (document["run"], document["file"]) == ([str(each) for each in runs], str(out))
    assert document["bytes"] == out.stat().st_size
    (dataset,) = document["datasets"]
    assert [method["label"] for method in dataset["methods"]] == ["mopo", "bc"]
    assert dataset["log"]["summary"]["overview"]["episodes"] == 8
    assert sum(dataset["log"]["summary"]["returns"]["counts"]) == 8
    assert dataset["models"][0]["holdout"]["k_step"]["1"]["rmse"] > 0
    assert [method["score"]["kind"] for method in dataset["methods"]] == ["training", "training"]
    assert "penalty" in dataset["methods"][0]["curves"]
    assert "Best in the environment" in out.read_text()
