"""Mark-up: what is text stays text, and what is data ends no element."""

from __future__ import annotations

import json
import re

import pytest

from orl.runs.report.html import data_block, duration, element, escaped, joined, script_text, shown, table

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


def test_text_and_attributes_are_escaped() -> None:
    found = element("p", ATTACK, title=ATTACK, data_x=True, hidden=None)
    safe = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;"
    assert found == f'<p title="{safe}" data-x>{safe}</p>'
    assert joined(found, None, "<") == f"{found}&lt;"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("div", class_="a", aria_label="b") == '<div class="a" aria-label="b"></div>'


def test_what_cannot_be_seen_is_written_out() -> None:
    assert escaped("a\x1b[31m\u202eb\ud800c\n\td") == "a\\x1b[31m\\u202eb\\ud800c\n\td"
    escaped("\ud800").encode()


def test_data_ends_no_element_and_stays_what_it_is() -> None:
    value = {"x": [ATTACK, "<!--", "\u2028\ud800"], "y": None}
    found = data_block("data", value)
    inside = re.fullmatch(r'<script type="application/json" id="data">(.*)</script>', found)
    assert inside is not None
    assert "<" not in inside[1]
    assert json.loads(inside[1]) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_block("data", float("nan"))


def test_a_program_holds_no_end_of_its_element() -> None:
    assert script_text('x = "</script>"; y = "<!--";') == 'x = "<\\/script>"; y = "<\\!--";'


def test_tables_escape_their_cells() -> None:
    found = table(["<a>"], [["<b>", "<c>"]], name="<d>")
    assert found == (
        '<div class="scroll" tabindex="0" role="region" aria-label="&lt;d&gt;"><table class="numbers"><thead><tr>'
        '<th scope="col">&lt;a&gt;</th></tr></thead><tbody><tr><th scope="row">&lt;b&gt;</th><td>&lt;c&gt;</td></tr>'
        "</tbody></table></div>"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (1234567, "1,234,567"), (0.000123456, "0.0001235"), (-1227.486, "-1227"), (True, "yes"),
     (200.0, "200"), (123456.7, "123,457"), ("<", "<"), (1e20, "1e+20")],
)  # fmt: skip
def test_numbers(value: object, words: str) -> None:
    assert shown(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (3.21, "3.2 s"), (59.0, "59 s"), (61.0, "1 min 1 s"), (7384.0, "2 h 3 min")]
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
