"""What sections are made of: figures with their tables and buttons, lines that say what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orl.runs.report.html import Html, element, joined, shown, table
from orl.runs.report.learning import spread_indices
from orl.runs.report.plots import Figure, Spec

MAX_ROWS = 25  # of a figure's table; the document of `--json` has all


class Figures:
    """Collects what the page's script draws while sections are written."""

    def __init__(self) -> None:
        self.specs: dict[str, dict[str, Any]] = {}

    def put(self, figure: Figure | None) -> Html | None:
        """The place of a figure with its caption, buttons and numbers; None for none."""
        if figure is None:
            return None
        name = f"figure-{len(self.specs)}"
        spec: Spec = figure.spec
        self.specs[name] = {"title": figure.title, "spec": spec}
        return element(
            "figure",
            element("figcaption", figure.title, id=f"{name}-title"),
            element("div", class_="plot", id=name, role="img", aria_label=f"{figure.title}. {figure.alt}"),
            element("div", *(_button(name, figure.title, kind) for kind in ("SVG", "PNG")), class_="tools"),
            _numbers(figure),
        )

    def grid(self, figures: Iterable[Figure | None]) -> Html:
        """Figures side by side where there is room."""
        return element("div", *(self.put(figure) for figure in figures), class_="grid")


def _button(name: str, title: str, kind: str) -> Html:
    label = f"Save as {kind}: {title}"
    return element("button", kind, type="button", data_figure=name, data_save=kind.lower(), aria_label=label)


def _numbers(figure: Figure) -> Html:
    chosen = spread_indices(len(figure.rows), MAX_ROWS)
    rows = [[shown(cell) for cell in figure.rows[index]] for index in chosen]
    note = f" ({len(rows)} of {len(figure.rows)} rows)" if len(rows) < len(figure.rows) else ""
    return element(
        "details",
        element("summary", f"Numbers{note}"),
        table(figure.columns, rows, name=f"Numbers of: {figure.title}"),
    )


def absent(what: str, *commands: str) -> Html:
    """What is not there, and what makes it."""
    made = [part for command in commands for part in (" ", element("code", command))]
    return element("p", what, *(("; made by",) if commands else ()), *made, class_="absent")


def paragraph(*children: Any) -> Html:
    """A paragraph."""
    return element("p", *children)


def section(name: str, title: str, *children: Any, level: int = 3) -> Html:
    """A titled section that can be linked to."""
    heading = element(f"h{level}", title, id=f"{name}-title")
    return element("section", heading, joined(*children), id=name, aria_labelledby=f"{name}-title")
