"""One picture of a video: what the environment shows, what the model thought, and how far the two are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 320  # pixels of a panel
TITLE, LINE, PLOT = 24, 20, 44  # heights of a title, a line of text and the curve of errors
MARGIN, TEXT = 8, 14
PAPER, INK, FAINT, ACCENT = "#ffffff", "#202020", "#9a9a9a", "#b3261e"
LEAST = 0.1  # training spreads that the curve's height stands for at least: below it, all is well


class Curve(NamedTuple):
    """The model's errors so far.

    Attributes:
        errors: of each step, in training spreads. anchors: the steps before which it was shown the true state.
        span: steps that fill the width.
    """

    errors: Sequence[float]
    anchors: Sequence[int]
    span: int

    @property
    def top(self) -> float:
        """The error at the curve's upper edge: the largest finite one, or a little."""
        return max([LEAST, *(error for error in self.errors if np.isfinite(error))])


def picture(
    panels: Sequence[tuple[str, NDArray[np.uint8]]], lines: Sequence[str], curve: Curve | None = None
) -> Image.Image:
    """Panels (title, frame [H, W, 3]) side by side, lines of text below them, and the curve; both sides are even."""
    width = SIDE * len(panels)
    height = TITLE + SIDE + LINE * len(lines) + (PLOT if curve else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT)
    for index, (title, frame) in enumerate(panels):
        draw.text((SIDE * index + MARGIN, 3), title, INK, font)
        sheet.paste(fitted(frame), (SIDE * index, TITLE))
    for index, line in enumerate(lines):
        draw.text((MARGIN, TITLE + SIDE + LINE * index + 2), line, INK, font)
    if curve:
        draw_curve(draw, (MARGIN, height - PLOT + 4, width - MARGIN, height - 6), curve)
    return sheet


def fitted(frame: NDArray[np.uint8]) -> Image.Image:
    """The frame [H, W, 3] in the middle of a square panel, as large as it fits."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    factor = SIDE / max(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)))
    panel = Image.new("RGB", (SIDE, SIDE), PAPER)
    panel.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return panel


def draw_curve(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], curve: Curve) -> None:
    """Errors from left to right; a faint upright line where the model was shown the true state."""
    left, top, right, bottom = box

    def across(step: float) -> float:
        return left + (right - left) * step / curve.span

    for anchor in curve.anchors:
        draw.line([(across(anchor), top), (across(anchor), bottom)], FAINT)
    draw.line([(left, bottom), (right, bottom)], FAINT)
    points = [
        (across(step + 1), bottom - (bottom - top) * min(error / curve.top, 1.0))
        for step, error in enumerate(curve.errors)
    ]
    draw.line([(left, bottom), *points], ACCENT, 2)
