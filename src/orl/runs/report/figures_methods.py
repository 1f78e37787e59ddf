"""Figures of methods: learning curves, scores, the model's promise against the truth, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orl.runs.report.html import shown
from orl.runs.report.marks import Dot, Rule, Span, rows_of_dots, stacked_bars
from orl.runs.report.plots import INK, Axis, Figure, Line, colour_of, lines

Methods = Sequence[Mapping[str, Any]]


class Palette:
    """One colour a method, the same in every figure of a dataset."""

    def __init__(self, methods: Methods) -> None:
        self._at = {method["label"]: index for index, method in enumerate(methods)}

    def line(self, label: str) -> tuple[str, Sequence[int]]:
        """Colour and dash of a method's lines."""
        return colour_of(self._at[label])

    def colour(self, label: str) -> str:
        """Colour of a method's dots."""
        return self.line(label)[0]


def learning_figure(metric: str, title: str, unit: str, methods: Methods, palette: Palette) -> Figure | None:
    """A metric over the updates of every method that has it, with the interval over seeds."""
    series = []
    for method in methods:
        found = method["curves"].get(metric)
        if found and found["steps"]:
            colour, dash = palette.line(method["label"])
            line = Line(method["label"], found["steps"], found["mean"], colour, found["low"], found["high"], dash)
            series.append(line)
    if not series:
        return None
    ends = ", ".join(f"{line.label} {shown(line.y[-1])}" for line in series)
    alt = f"{title} over gradient updates: means over seeds, with 95% intervals where there are several. Last: {ends}."
    return lines(title, alt, Axis("gradient updates"), Axis(unit), series)


def score_figure(methods: Methods, yardsticks: Mapping[str, Any], palette: Palette) -> Figure:
    """Scores with intervals and seeds, the behaviour as a line, published ones of the same methods as diamonds."""
    unit = "score" if yardsticks["normalised"] else "return"
    played = [method for method in methods if method["score"]]
    order = [method["label"] for method in played]
    dots = [
        Dot(m["label"], value, "seed", palette.colour(m["label"])) for m in played for value in m["score"]["per_seed"]
    ]
    dots += [Dot(m["label"], m["score"]["mean"], "mean", palette.colour(m["label"])) for m in played]
    dots += [
        Dot(method["label"], each["score"], "published", INK)
        for method in played
        for each in yardsticks["published"]
        if each["algorithm"] == method["name"]
    ]
    intervals = [(method["label"], method["score"]["ci95"]) for method in played if method["score"]["ci95"]]
    spans = [Span(label, low, high, palette.colour(label)) for label, (low, high) in intervals]
    rows = [
        ["behaviour", yardsticks["behaviour"]["mean"], None, None],
        ["best logged episode", yardsticks["behaviour"]["best"], None, None],
    ]
    rows += [[m["label"], m["score"]["mean"], *(m["score"]["ci95"] or (None, None))] for m in played]
    ranking = ", ".join(
        f"{m['label']} {shown(round(m['score']['mean'], 1))}" for m in sorted(played, key=lambda m: -m["score"]["mean"])
    )
    behaviour = shown(yardsticks["behaviour"]["mean"])
    alt = f"{unit.capitalize()} of every method against the behaviour at {behaviour}: {ranking}."
    kinds = {"seed": "small", "published": "diamond", "mean": "large"}
    table = ["policy", f"mean {unit}", "95% from", "to"], rows
    return rows_of_dots(
        "What each policy is worth in the environment (small dots: seeds)",
        alt,
        Axis(unit),
        order,
        dots,
        spans,
        [Rule("behaviour", yardsticks["behaviour"]["mean"])],
        kinds,
        table,
    )


def promise_figure(methods: Methods, unit: str, palette: Palette) -> Figure | None:
    """What the bare model promises against what the environment paid; the gap is exploitation of the model's errors."""
    known = [method for method in methods if method["promise"] and method["promise"]["promised"] is not None]
    if not known:
        return None
    order, dots, spans, rows = [method["label"] for method in known], [], [], []
    for method in known:
        label, promise, colour = method["label"], method["promise"], palette.colour(method["label"])
        low, high = sorted((promise["true"], promise["promised"]))
        spans.append(Span(label, low, high, colour))
        dots += [Dot(label, promise["true"], "true", colour), Dot(label, promise["promised"], "in the model", colour)]
        rows.append([label, promise["true"], promise["promised"], promise["gap"]])
    widest = max(known, key=lambda method: method["promise"]["gap"])
    alt = (
        f"True {unit} and the {unit} the bare model promises from the same start states. The greatest gap is "
        f"{widest['label']}'s, {widest['promise']['gap']:+.1f}."
    )
    kinds = {"true": "large", "in the model": "hollow"}
    return rows_of_dots(
        "What the model promised (hollow), and what was paid (filled)",
        alt,
        Axis(unit),
        order,
        dots,
        spans,
        [],
        kinds,
        (["policy", f"true {unit}", "in the model", "gap"], rows),
    )


def cost_figure(methods: Methods) -> Figure | None:
    """Seconds of training and of the model's fit."""
    timed = [method for method in methods if method["cost"]["training"] or method["cost"]["model"]]
    if not timed:
        return None
    parts = {
        "fit of the model": {method["label"]: method["cost"]["model"] for method in timed},
        "training": {method["label"]: method["cost"]["training"] for method in timed},
    }
    longest = max(timed, key=lambda method: method["cost"]["training"])
    alt = f"Seconds each method took, its model's fit apart. The longest training was {longest['label']}'s."
    return stacked_bars("Where the time went", alt, "seconds", [method["label"] for method in timed], parts)
