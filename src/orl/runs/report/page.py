"""The page: one file with its style, its script, the plotting library and all numbers; nothing is fetched.

Its policy lets two programs run, named by their digests, and no request leave the page: what came in with the data
could do nothing even if its escaping failed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from orl.errors import MissingError
from orl.runs.report import sections, sections_log, sections_runs
from orl.runs.report.colours import LIGHT, rules
from orl.runs.report.figures_methods import Palette
from orl.runs.report.html import Html, data_block, element, script, script_text, style
from orl.runs.report.parts import Figures, section


def render(document: Mapping[str, Any], refresh: int | None = None) -> str:
    """The report `document` as HTML.

    Args:
        refresh: seconds after which the page loads itself anew, for a report that is being followed.

    Raises:
        MissingError: the plotting library is not installed.
    """
    library, program = plotting_library(), asset("page.js")
    figures, found = Figures(), document["datasets"]
    chapters = [_chapter(index, each, figures, len(found) == 1) for index, each in enumerate(found)]
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", *_top(document)),
        element("nav", _contents(document["datasets"]), aria_label="Contents"),
        element("main", *chapters, _runs_chapter(document), id="content", tabindex="-1"),
        element("footer", f"Written by orl {document['versions']['orl']}, {document['made']}."),
        data_block("figures", figures.specs),
        data_block("colours", LIGHT),
        script(library),
        script(program),
    )
    return "<!doctype html>\n" + element("html", _head(document, [library, program], refresh), body, lang="en") + "\n"


def _head(document: Mapping[str, Any], programs: Sequence[str], refresh: int | None) -> Html:
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(digest(program) for program in programs)}"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="refresh", content=str(refresh)) if refresh is not None else None,
        element("title", f"orl report: {document['title']}"),
        element("link", rel="icon", href="data:,"),
        style(rules() + asset("page.css")),
    )


def digest(program: str) -> str:
    """What a content security policy calls a program by."""
    found = hashlib.sha256(script_text(program).encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"


def _top(document: Mapping[str, Any]) -> list[Html]:
    runs = len(document["runs"])
    parts = [
        element("h1", f"Report on {document['title']}"),
        element("p", f"{runs} run{'s' * (runs != 1)} · {document['made']}", class_="quiet"),
    ]
    if document["unfinished"]:
        parts.append(element("p", f"Not finished: {', '.join(document['unfinished'])}", class_="warn"))
    parts.append(element("noscript", element("p", "The figures need JavaScript; their numbers are in the tables.")))
    return parts


CHAPTER = (
    "Scores",
    "Promise and truth",
    "Learning curves",
    "Penalty and halting",
    "Data",
    "Models",
    "Trajectories",
    "Time",
)
SLUGS = ("scores", "promise", "learning", "penalty", "data", "models", "trajectories", "time")
RUNS = (("settings", "Settings"), ("versions", "Versions"), ("commands", "Commands and settings of every run"))


def _contents(datasets: Sequence[Mapping[str, Any]]) -> Html:
    items = []
    for index, dataset in enumerate(datasets):
        links = [
            element("li", element("a", title, href=f"#{slug}-{index}"))
            for slug, title in zip(SLUGS, CHAPTER, strict=True)
        ]
        name = element("a", dataset["data"]["name"], href=f"#dataset-{index}") if len(datasets) > 1 else None
        items += [element("li", name, element("ul", *links))] if name else links
    items += [element("li", element("a", title, href=f"#{slug}")) for slug, title in RUNS]
    return element("ul", *items)


def _chapter(index: int, dataset: Mapping[str, Any], figures: Figures, alone: bool) -> Html:
    palette = Palette(dataset["methods"])
    parts = (
        sections.scores(dataset, palette, figures),
        sections.promises(dataset, palette, figures),
        sections.learning(dataset, palette, figures),
        sections.pessimism(dataset, palette, figures),
        sections_log.data(dataset, figures),
        sections_log.models(dataset, figures),
        sections_log.trajectories(dataset, figures),
        sections.costs(dataset, palette, figures),
    )
    written = [section(f"{slug}-{index}", title, part) for slug, title, part in zip(SLUGS, CHAPTER, parts, strict=True)]
    title = "Results" if alone else dataset["data"]["name"]
    return section(f"dataset-{index}", title, sections.in_short(dataset), *written, level=2)


def _runs_chapter(document: Mapping[str, Any]) -> Html:
    runs = document["runs"]
    parts = (
        sections_runs.settings(runs),
        sections_runs.versions(runs, document["versions"]),
        sections_runs.commands(runs),
    )
    written = [section(slug, title, part) for (slug, title), part in zip(RUNS, parts, strict=True)]
    return section("runs", "The runs", *written, level=2)


def asset(name: str) -> str:
    """A file of the page's own style or program."""
    return files("orl.runs.report").joinpath("assets").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def plotting_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one program, 0.9 MB.

    Raises:
        MissingError: vl-convert, which carries them, is not installed.
    """
    try:
        import vl_convert
    except ImportError:
        raise MissingError("the report's plots need vl-convert; install it with: pip install 'orl[report]'") from None
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
