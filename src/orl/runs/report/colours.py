"""The colours of the page and its figures, light and dark; each has a contrast of 4.5 at least to what it stands on."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f6f8",
    "ink": "#1b1f24",
    "muted": "#57606a",
    "line": "#d3d8de",
    "accent": "#1f5fa8",
    "warn": "#8f4a00",
    "series-0": "#1f5fa8",
    "series-1": "#b04a12",
    "series-2": "#23744a",
    "series-3": "#7446a6",
    "series-4": "#0d6f7d",
    "series-5": "#a72d66",
    "series-6": "#6a6714",
    "series-7": "#56606b",
}
DARK = {
    "paper": "#14171b",
    "raised": "#1d2127",
    "ink": "#e8ebef",
    "muted": "#a3adb8",
    "line": "#39414a",
    "accent": "#82b4f0",
    "warn": "#f0b465",
    "series-0": "#82b4f0",
    "series-1": "#f0a274",
    "series-2": "#7fcf9d",
    "series-3": "#c9a5ee",
    "series-4": "#68c9d4",
    "series-5": "#f095bf",
    "series-6": "#d0cb78",
    "series-7": "#b3bdc8",
}


def rules() -> str:
    """Style rules that give every colour its variable: light, dark where the reader prefers it, light on paper."""
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} color-scheme: dark; }} }}"
    return f":root {{ {_variables(LIGHT)} color-scheme: light; }}\n{dark}\n"


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
