"""Mark-up whose every text and attribute is escaped: what comes from a file is shown and never acts."""

from __future__ import annotations

import html
import json
from typing import Any


class Html(str):
    """Text that is mark-up already. Only the functions of this module make it."""


VOID = ("meta", "link", "br", "hr", "input", "col")


def element(tag: str, /, *children: Any, **attributes: Any) -> Html:
    """`<tag attributes>children</tag>`; children that are no Html are escaped, None is left out.

    Attributes: a trailing underscore is dropped (`class_`), others become hyphens; True stands alone, None and False
    are left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = "".join(escaped(child) for child in children if child is not None)
    return Html(f"<{tag}{written}>" if tag in VOID else f"<{tag}{written}>{inside}</{tag}>")


def joined(*children: Any) -> Html:
    """Children one after the other."""
    return Html("".join(escaped(child) for child in children if child is not None))


def escaped(value: Any) -> Html:
    """`value` as text, unless it is Html. What is not printable, direction marks and lone surrogates among it, is
    written as an escape such as \\x1b."""
    if isinstance(value, Html):
        return value
    text = str(value)
    if not text.isprintable():
        text = "".join(
            each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape", "surrogatepass").decode()
            for each in text
        )
    return Html(html.escape(text, quote=True))


def data_block(name: str, value: Any) -> Html:
    """A script element that holds JSON and no program. No `<` is left in it, so that nothing can end it early."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Html(f'<script type="application/json" id="{html.escape(name)}">{text}</script>')


def script(text: str) -> Html:
    """A script element with a program of ours, as `script_text` has it."""
    return Html(f"<script>{script_text(text)}</script>")


def script_text(text: str) -> str:
    """A program with nothing in it that HTML would take for the end of the element, or for a comment."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r\n", "\n")


def style(text: str) -> Html:
    """A style element with rules of ours."""
    return Html(f"<style>{text}</style>")


def table(columns: list[str], rows: list[list[Any]], *, name: str, numeric: bool = True) -> Html:
    """A table in a frame of its own that scrolls sideways, also by keyboard; `name` is what a screen reader says."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    inner = element("table", element("thead", head), element("tbody", *body), class_="numbers" if numeric else None)
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=name)


def shown(value: Any) -> str:
    """A number for reading: four significant digits, thousands apart, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e9):
        return f"{int(value):,}"
    if isinstance(value, float):
        text = f"{value:.4g}"
        return f"{value:,.0f}" if "e" in text and 1e4 <= abs(value) < 1e9 else text
    return str(value)


def duration(seconds: float | None) -> str:
    """'12 s', '3 min 20 s', '2 h 5 min'."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escaped(str(value))}"'
