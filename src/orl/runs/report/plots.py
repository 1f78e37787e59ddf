"""Figures as plain values: a Vega-Lite specification, what a reader without it needs, and the numbers as a table.

Colours are the style sheet's variables, so that light, dark and print are its business and no figure is drawn twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

Number = float | None
Spec = dict[str, Any]

INK, MUTED = "var(--ink)", "var(--muted)"
SERIES = tuple(f"var(--series-{index})" for index in range(8))
DASHES: tuple[list[int], ...] = ([], [6, 3], [2, 2])
HEIGHT, LABEL_HEIGHT = 200, 14  # pixels: of the plot, of a name at its side
LONGEST_LABEL = 22


class Figure(NamedTuple):
    """A plot. `alt` says in a sentence what it shows; `columns` and `rows` are its numbers, for those who cannot see it
    and for those who want them."""

    title: str
    alt: str
    spec: Spec
    columns: list[str]
    rows: list[list[Any]]


class Line(NamedTuple):
    """Values y at x, with a band from `low` to `high` where there is one; None leaves a gap. Without a label it is not
    named at its end."""

    label: str
    x: Sequence[float]
    y: Sequence[Number]
    colour: str
    low: Sequence[Number] | None = None
    high: Sequence[Number] | None = None
    dash: Sequence[int] = ()
    width: float = 2.0


class Axis(NamedTuple):
    """An axis: its title with the unit, and where it ends, for values beyond would hide the others."""

    title: str
    high: Number = None
    low: Number = None


def colour_of(index: int) -> tuple[str, Sequence[int]]:
    """Colour and dash of the series `index`; after eight the colours come again, dashed."""
    return SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)]


def lines(title: str, alt: str, x: Axis, y: Axis, series: Sequence[Line]) -> Figure:
    """Lines named at their right ends, in their own colours; a rule at the pointer tells all values there."""
    named = [line for line in series if line.label]
    y = _opened(y, series)
    layers = [layer for line in series for layer in _band(line, y.title)]
    layers += [_line(line) for line in series]
    layers[0]["params"] = [ZOOM]
    layers += [_readings(x.title, named), _end_labels(named, y)]
    encoding = {"x": _quantitative("x", x), "y": _quantitative("y", y)}
    return Figure(title, alt, _spec(layers, encoding), *_table(x.title, named))


# The wheel and the finger scroll the page: zooming takes Shift, a double click goes back.
ZOOM: Spec = {
    "name": "zoom",
    "bind": "scales",
    "select": {
        "type": "interval",
        "encodings": ["x"],
        "zoom": "wheel![event.shiftKey]",
        "translate": "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    },
}


def _opened(axis: Axis, series: Sequence[Line]) -> Axis:
    """The axis, opened around a value that never changes: from half of it to one and a half times, 0 to 1 for 0."""
    low, high = _extent(series, Axis(""))
    if high - low > 1e-9 * max(abs(low), abs(high), 1.0):
        return axis
    around = (0.0, 1.0) if low == 0 else tuple(sorted((0.5 * low, 1.5 * low)))
    return Axis(axis.title, around[1] if axis.high is None else axis.high, around[0] if axis.low is None else axis.low)


def _quantitative(field: str, axis: Axis) -> Spec:
    bounds = {name: value for name, value in (("domainMin", axis.low), ("domainMax", axis.high)) if value is not None}
    return {"field": field, "type": "quantitative", "title": axis.title, "scale": {"zero": False, **bounds}}


def _band(line: Line, title: str) -> list[Spec]:
    if line.low is None or line.high is None:
        return []
    rows = [{"x": x, "l": low, "h": high} for x, low, high in zip(line.x, line.low, line.high, strict=False)]
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "area", "color": line.colour, "opacity": 0.16, "clip": True},
            "encoding": {"y": {"field": "l", "type": "quantitative", "title": title}, "y2": {"field": "h"}},
        }
    ]


def _line(line: Line) -> Spec:
    rows = [{"x": x, "y": y} for x, y in zip(line.x, line.y, strict=False)]
    mark: Spec = {"type": "line", "color": line.colour, "strokeWidth": line.width, "clip": True}
    if line.dash:
        mark["strokeDash"] = list(line.dash)
    if len(rows) == 1:
        mark = {"type": "point", "filled": True, "size": 60, "color": line.colour}
    return {"data": {"values": rows}, "mark": mark}


def _readings(x: str, named: Sequence[Line]) -> Spec:
    """A rule at the x nearest to the pointer, whose tooltip names every line's value there."""
    at: dict[float, Spec] = {}
    for index, line in enumerate(named):
        for place, value in zip(line.x, line.y, strict=False):
            at.setdefault(place, {"x": place})[f"s{index}"] = value
    fields = [
        {"field": f"s{index}", "type": "quantitative", "title": line.label, "format": ".4~g"}
        for index, line in enumerate(named)
    ]
    nearest = {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True, "encodings": ["x"]}
    return {
        "data": {"values": [at[place] for place in sorted(at)]},
        "params": [{"name": "reading", "select": nearest}],
        "mark": {"type": "rule", "color": MUTED, "strokeWidth": 1},
        "encoding": {
            "y": {"value": 0},
            "y2": {"value": HEIGHT},
            "opacity": {"condition": {"param": "reading", "empty": False, "value": 1}, "value": 0},
            "tooltip": [{"field": "x", "type": "quantitative", "title": x}, *fields],
        },
    }


def _end_labels(named: Sequence[Line], axis: Axis) -> Spec:
    """The names at the right ends, moved apart where they would cover each other."""
    ends = [(line, *last) for line in named if (last := _last(line)) is not None]
    lowest, highest = _extent(named, axis)
    places = spread_apart(
        [min(y, highest) for _, _, y in ends], (highest - lowest) * LABEL_HEIGHT / HEIGHT, lowest, highest
    )
    right = max((x for _, x, _ in ends), default=0)
    rows = [
        {"x": right, "y": place, "t": shortened(line.label), "c": line.colour}
        for (line, _, _), place in zip(ends, places, strict=True)
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 6, "fontWeight": 600, "clip": False},
        "encoding": {"text": {"field": "t"}, "color": {"field": "c", "type": "nominal", "scale": None}},
    }


def _last(line: Line) -> tuple[float, float] | None:
    known = [(x, y) for x, y in zip(line.x, line.y, strict=False) if y is not None]
    return known[-1] if known else None


def _extent(series: Sequence[Line], axis: Axis) -> tuple[float, float]:
    values = [y for line in series for y in (*line.y, *(line.low or ()), *(line.high or ())) if y is not None]
    low = min(values, default=0.0) if axis.low is None else axis.low
    high = max(values, default=1.0) if axis.high is None else axis.high
    return low, max(high, low + 1e-9)


def spread_apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near `values` that are `gap` apart at least, in the same order and, where they fit, in [low, high]."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    places = [float(value) for value in values]
    for below, above in pairwise(order):
        places[above] = max(places[above], places[below] + gap)
    over = max([*places, high]) - high
    if over > 0:
        ceiling = high
        for index in reversed(order):
            places[index] = min(places[index], ceiling)
            ceiling = places[index] - gap
    return places


def shortened(label: str) -> str:
    """`label` where it is short, else its beginning and its end, which is where names of runs differ."""
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 10]}…{label[-9:]}"


def _table(x: str, named: Sequence[Line]) -> tuple[list[str], list[list[Any]]]:
    at: dict[float, list[Any]] = {}
    for index, line in enumerate(named):
        for place, value in zip(line.x, line.y, strict=False):
            at.setdefault(place, [place, *[None] * len(named)])[index + 1] = value
    return [x, *(line.label for line in named)], [at[place] for place in sorted(at)]


def _spec(layers: list[Spec], encoding: Spec) -> Spec:
    return {
        "width": "container",
        "height": HEIGHT,
        "padding": {"left": 4, "top": 8, "bottom": 4, "right": 4},
        "autosize": {"type": "fit-x", "contains": "padding"},
        "encoding": encoding,
        "layer": layers,
    }
