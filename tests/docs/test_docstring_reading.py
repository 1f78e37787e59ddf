"""House docstrings as parts, and as the reStructuredText that the API reference is made of."""

from __future__ import annotations

from orl_site.docstrings import Entry, inline, parse, to_rst

TEXT = """First line with `code`.

* one
  goes on
* two

    y = r + g V

Args:
    obs: [B, O] of it. action: [B, A]; not this: word.
        Goes on.
    keys: `k_act` ones.

Raises:
    UsageError: wrong. DataError: broken."""


def test_entries_share_lines_where_their_names_are_known() -> None:
    found = parse(TEXT, {"obs", "action", "keys"}).sections["Args"]
    assert found == [
        Entry(("obs",), "[B, O] of it."),
        Entry(("action",), "[B, A]; not this: word. Goes on."),
        Entry(("keys",), "`k_act` ones."),
    ]


def test_errors_are_entries_without_being_asked_for() -> None:
    assert parse(TEXT).sections["Raises"] == [Entry(("UsageError",), "wrong."), Entry(("DataError",), "broken.")]
    assert parse("Returns:\n    A number.").sections["Returns"] == [Entry((), "A number.")]


def test_rst_keeps_lists_equations_and_names() -> None:
    lines = to_rst(TEXT, {"obs", "action", "keys"})
    assert lines[0] == r"First line with \ ``code``\ ."
    assert lines[2:5] == ["* one", "  goes on", ""]
    assert lines[lines.index("::") :][:3] == ["::", "", "    y = r + g V"]
    assert "* **obs** – [B, O] of it." in lines
    assert "**Raises**" in lines


def test_what_looks_like_markup_is_escaped() -> None:
    assert inline("a* |x| name_ and `b_*`") == r"a\* \|x\| name\_ and \ ``b_*``\ "
    assert inline("``twice`` as once") == r"\ ``twice``\  as once"
    assert inline("a lone ` one") == "a lone ' one"
