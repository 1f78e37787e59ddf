"""The page: which sections stand in it, that nothing is fetched, and that data from elsewhere never act."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_report_runs import ATTACK, full_runs, hostile_runs, made_policy

from orl.runs.report import page
from orl.runs.report.gather import gather
from orl.runs.report.log import leave_log
from orl.runs.report.page import render


class Seen(HTMLParser):
    """Every element and attribute, the text, and what script elements hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts.append(data)
        else:
            self.text += data


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plotting library of one line: no browser is asked here."""
    monkeypatch.setattr(page, "plotting_library", lambda: "window.vegaEmbed = null;")


def page_of(*paths: Path, **options: Any) -> str:
    return render(gather(paths, read=leave_log), **options)


def test_a_section_without_data_says_what_makes_them(tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run")
    seen = Seen(page_of(run))
    assert f"No score of mopo; made by orl evaluate {run}" in seen.text
    assert "No model's opinion of these policies; made by orl evaluate" in seen.text
    assert "No model is in these runs; made by orl fit-model" in seen.text
    assert "No look into the data: it was not asked for (--no-data)" in seen.text
    assert "orl train-policy --algo mopo --dataset no/such-v0" in seen.text
    assert "No published score is known" in seen.text


def test_a_section_with_data_shows_them(tmp_path: Path) -> None:
    full_runs(tmp_path)
    text = page_of(tmp_path)
    seen = Seen(text)
    figures = json.loads(seen.scripts[0])
    titles = [figure["title"] for figure in figures.values()]
    assert titles == [
        "What each policy is worth in the environment (small dots: seeds)",
        "What the model promised (hollow), and what was paid (filled)",
        "Value that the critics give",
        "Oddity",
        "Penalty taken from the reward of a model step",
        "How the fit went",
        "How far ahead the model can be believed",
        "Whether the model knows how sure to be",
        "Whether doubt grows with the distance from the data",
        "Predicted and real: observation 0",
        "Predicted and real: observation 1",
        "Where the time went",
    ]
    assert seen.tags.count("figure") == len(titles)
    assert seen.text.count("No bc to compare with") == 1
    assert "Best in the environment: mopo, 40.0 (behaviour 40.0)." in seen.text
    assert "Greatest excess of the model's promise over the truth: mopo, +50.0." in seen.text


def test_nothing_is_fetched_and_two_programs_may_run(tmp_path: Path) -> None:
    made_policy(tmp_path / "run", metrics=[{"step": 1, "seed": 0, "q": 1.0}])
    text = page_of(tmp_path)
    seen = Seen(text)
    places = [value for name, value in seen.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert [place for place in places if place and not place.startswith("#")] == ["data:,"]
    policy = next(value for name, value in seen.attributes if value and value.startswith("default-src"))
    assert policy is not None
    figures, colours, *programs = seen.scripts
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in programs]
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'"
    )
    assert programs[0] == "window.vegaEmbed = null;"
    assert list(json.loads(figures)) == ["figure-0", "figure-1"]
    assert json.loads(colours)["paper"] == "#ffffff"
    assert "refresh" not in [value for name, value in seen.attributes if name == "http-equiv"]


def test_a_page_that_is_followed_loads_itself_anew(tmp_path: Path) -> None:
    made_policy(tmp_path / "run")
    seen = Seen(page_of(tmp_path, refresh=7))
    at = seen.attributes.index(("http-equiv", "refresh"))
    assert seen.attributes[at + 1] == ("content", "7")


def test_data_from_elsewhere_never_act(tmp_path: Path) -> None:
    """Whatever names and texts hold, the page has our elements and our two programs only, and shows it as text."""
    quiet = tmp_path / "quiet"
    made_policy(quiet / "run")
    usual = {*Seen(page_of(quiet)).tags, "figure", "figcaption", "button", "details", "summary", "table", "thead"}
    text = page_of(hostile_runs(tmp_path / "hostile"))
    seen = Seen(text)
    assert set(seen.tags) <= {*usual, "tbody", "tr", "th", "td"}
    assert seen.tags.count("script") == 4
    assert [name for name, _ in seen.attributes if name.startswith("on")] == []
    assert "alert(1)" in seen.text
    assert "\u202e" not in text
    assert "\x1b" not in text
    figures = seen.scripts[0]
    assert "<" not in figures
    assert ATTACK in json.dumps(json.loads(figures), ensure_ascii=False).replace('\\"', '"').replace("\\u001b", "\x1b")
    assert [each.startswith("window.vegaEmbed") for each in seen.scripts] == [False, False, True, False]
