"""Further figures: histograms, dots in rows, bars and cells. See `plots` for what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orl.runs.report.plots import INK, MUTED, SERIES, Axis, Figure, Number, Spec, shortened

ROW = 26  # pixels of a row of dots or bars


class Rule(NamedTuple):
    """A straight line across a figure at a value, with its name."""

    label: str
    value: Number


class Dot(NamedTuple):
    """A value in a row; `kind` decides its shape."""

    row: str
    value: Number
    kind: str
    colour: str


class Span(NamedTuple):
    """A line in a row from `low` to `high`."""

    row: str
    low: float
    high: float
    colour: str


def histogram(
    title: str, alt: str, axis: str, counted: str, bins: Mapping[str, Sequence[float]], rules: Sequence[Rule] = ()
) -> Figure:
    """Counts of `counted` by bin, with named values as rules."""
    edges = bins["edges"]
    rows = [
        {"a": low, "b": high, "n": count} for low, high, count in zip(edges, edges[1:], bins["counts"], strict=False)
    ]
    bars = {
        "data": {"values": rows},
        "mark": {"type": "rect", "color": SERIES[0], "opacity": 0.85},
        "encoding": {
            "x": {"field": "a", "type": "quantitative", "title": axis, "scale": {"zero": False, "nice": False}},
            "x2": {"field": "b"},
            "y": {"field": "n", "type": "quantitative", "title": counted},
            "y2": {"datum": 0},
            "tooltip": [_field("a", "from"), _field("b", "to"), _field("n", counted)],
        },
    }
    spec = _spec([bars, *_vertical_rules(rules)], 150)
    return Figure(title, alt, spec, ["from", "to", counted], [[row["a"], row["b"], row["n"]] for row in rows])


def rows_of_dots(
    title: str,
    alt: str,
    axis: Axis,
    order: Sequence[str],
    dots: Sequence[Dot],
    spans: Sequence[Span],
    rules: Sequence[Rule],
    kinds: Mapping[str, str],
    table: tuple[list[str], list[list[Any]]],
) -> Figure:
    """A row a method: dots by kind (`kinds` maps each to its shape), spans behind them, and named rules across all."""
    place: Spec = {
        "y": {"field": "row", "type": "nominal", "title": None, "sort": list(order), "axis": ROW_AXIS},
        "x": {"field": "x", "type": "quantitative", "title": axis.title, "scale": {"zero": False, "padding": 8}},
        "color": {"field": "c", "type": "nominal", "scale": None},
    }
    layers = [_spans(spans, place)] if spans else []
    for kind, shape in kinds.items():
        found = [dot for dot in dots if dot.kind == kind and dot.value is not None]
        layers += [_dots(found, SHAPES[shape], place)] if found else []
    return Figure(title, alt, _spec([*layers, *_vertical_rules(rules)], ROW * len(order)), *table)


def _spans(spans: Sequence[Span], place: Spec) -> Spec:
    return {
        "data": {"values": [{"row": s.row, "x": s.low, "h": s.high, "c": s.colour} for s in spans]},
        "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45},
        "encoding": place | {"x2": {"field": "h"}},
    }


def _dots(dots: Sequence[Dot], shape: Spec, place: Spec) -> Spec:
    what = [{"field": "row", "title": "method"}, {"field": "k", "title": "what"}]
    return {
        "data": {"values": [{"row": dot.row, "x": dot.value, "c": dot.colour, "k": dot.kind} for dot in dots]},
        "mark": shape,
        "encoding": place | {"tooltip": [*what, _field("x", str(place["x"]["title"]))]},
    }


ROW_AXIS: Spec = {"labelLimit": 150, "ticks": False, "domain": False, "labelFontWeight": 600}
SHAPES: dict[str, Spec] = {
    "large": {"type": "point", "filled": True, "size": 110, "opacity": 1},
    "small": {"type": "point", "filled": True, "size": 22, "opacity": 0.65},
    "hollow": {"type": "point", "filled": False, "size": 90, "strokeWidth": 2, "opacity": 1},
    "diamond": {"type": "point", "shape": "diamond", "filled": False, "size": 80, "strokeWidth": 1.5, "opacity": 1},
}


def stacked_bars(
    title: str, alt: str, axis: str, order: Sequence[str], parts: Mapping[str, Mapping[str, Number]]
) -> Figure:
    """A row a method, its parts one after the other; `parts` maps each part's name to its size by method."""
    rows = []
    for part, (name, sizes) in enumerate(parts.items()):
        rows += [{"row": row, "x": sizes.get(row) or 0.0, "part": name, "o": part} for row in order]
    mark = {"type": "bar", "height": {"band": 0.6}}
    layer = {
        "data": {"values": rows},
        "mark": mark,
        "encoding": {
            "y": {"field": "row", "type": "nominal", "title": None, "sort": list(order), "axis": ROW_AXIS},
            "x": {"field": "x", "type": "quantitative", "title": axis, "stack": "zero"},
            "order": {"field": "o", "type": "quantitative"},
            "color": {
                "field": "part",
                "type": "nominal",
                "title": None,
                "scale": {"domain": list(parts), "range": [SERIES[7], SERIES[0]][-len(parts) :]},
                "legend": {"orient": "top"},
            },
            "tooltip": [{"field": "row", "title": "method"}, {"field": "part", "title": "part"}, _field("x", axis)],
        },
    }
    table = [[row, *(sizes.get(row) for sizes in parts.values())] for row in order]
    return Figure(title, alt, _spec([layer], ROW * max(len(order), 1)), ["method", *parts], table)


def cells(title: str, alt: str, x: str, y: str, counted: str, found: Sequence[Sequence[float]]) -> Figure:
    """Rectangles [x from, x to, y from, y to, count], the darker the more."""
    values = [dict(zip("abcdn", cell, strict=False)) for cell in found]
    most = max((value["n"] for value in values), default=1.0)
    layer = {
        "data": {"values": values},
        "mark": {"type": "rect", "color": SERIES[0]},
        "encoding": {
            "x": {"field": "a", "type": "quantitative", "title": x, "scale": {"zero": False, "nice": False}},
            "x2": {"field": "b"},
            "y": {"field": "c", "type": "quantitative", "title": y, "scale": {"zero": False, "nice": False}},
            "y2": {"field": "d"},
            "opacity": {
                "field": "n",
                "type": "quantitative",
                "legend": None,
                "scale": {"type": "log", "domain": [1, max(most, 2.0)], "range": [0.2, 1]},
            },
            "tooltip": [_field("a", f"{x} from"), _field("c", f"{y} from"), _field("n", counted)],
        },
    }
    densest = sorted(found, key=lambda cell: -cell[4])[:20]
    columns = [f"{x} from", f"{x} to", f"{y} from", f"{y} to", counted]
    return Figure(title, alt, _spec([layer], 260), columns, [list(cell) for cell in densest])


def _vertical_rules(rules: Sequence[Rule]) -> list[Spec]:
    """Dashed rules with their names above the figure."""
    layers: list[Spec] = []
    for rule in (each for each in rules if each.value is not None):
        at = {"x": {"datum": rule.value, "type": "quantitative"}}
        line = {"type": "rule", "color": MUTED, "strokeDash": [5, 4], "strokeWidth": 1.5}
        text = {"type": "text", "color": INK, "text": shortened(rule.label), "baseline": "bottom", "clip": False}
        layers.append({"data": {"values": [{}]}, "mark": line, "encoding": at})
        layers.append({"data": {"values": [{}]}, "mark": text, "encoding": at | {"y": {"value": -4}}})
    return layers


def _field(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "format": ".4~g"}


def _spec(layers: list[Spec], height: int) -> Spec:
    return {
        "width": "container",
        "height": height,
        "padding": {"left": 4, "top": 22, "bottom": 4, "right": 12},
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": layers,
    }
