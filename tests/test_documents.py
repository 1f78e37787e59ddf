"""JSON and TOML that are none: one kind of error each, whatever is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from orl.config import build, parse_assignment, read_toml
from orl.documents import SHOWN, brief, parse_json
from orl.dynamics.config import EnsembleConfig
from orl.errors import UsageError

DEEP, DIGITS = "[" * 100_000, "9" * 5000


def test_json_is_read() -> None:
    assert parse_json('{"a": [1, 2.5, "x"], "b": {"a": null}}') == {"a": [1, 2.5, "x"], "b": {"a": None}}
    assert parse_json("\u00fc".join(['"', '"']).encode()) == "ü"
    assert parse_json('{"low": [-Infinity, 1e999]}', finite=False) == {"low": [-math.inf, math.inf]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ('{"x": {"b": 1, "c": 1, "b": 1}}', "the key 'b' comes twice"),
        ("[NaN]", "NaN is no number in JSON"),
        ("[-Infinity]", "-Infinity is no number in JSON"),
        ("[1e999]", "1e999 is no finite number"),
        (DEEP, "nested too deeply"),
        (DIGITS, "4300 digits"),
        ("", "Expecting value"),
        (b"\xff", "can't decode byte 0xff"),
        ("{}".encode("utf-16"), "can't decode byte"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
def test_what_is_no_json_is_a_value_error(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_json(text)
    assert message in str(refusal.value)


def test_a_message_shows_the_beginning_of_a_value() -> None:
    assert brief("\n one line\nanother") == "one line"
    assert brief("x" * SHOWN) == "x" * SHOWN
    assert brief("x" * 5000) == "x" * SHOWN + "…"
    assert brief("") == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"a = {DIGITS}".encode(), "digits"),
        (f"a = {DEEP}".encode(), "nested too deeply"),
        (b"a = 1\na = 2", "overwrite"),
        (b"a = \xff", "can't decode byte 0xff"),
    ],
)
def test_what_is_no_toml_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(UsageError) as refusal:
        read_toml(tmp_path / "a.toml")
    assert str(refusal.value).startswith(f"{tmp_path}/a.toml is not valid TOML: ")
    assert message in str(refusal.value)


def test_an_assignment_that_is_no_toml_is_text() -> None:
    assert parse_assignment(f"a.b={DIGITS}") == {"a": {"b": DIGITS}}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"learning_rate": math.inf}, "learning_rate = inf"),
        ({"weight_decay": [0.0, math.nan]}, "weight_decay.1 = nan"),
    ],
)
def test_settings_are_finite(values: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError) as refusal:
        build(EnsembleConfig, values, "model.")
    assert str(refusal.value) == f"setting model.{key}: input should be a finite number"


def test_whole_numbers_of_settings_can_be_reckoned_with() -> None:
    """A width of 10^400 is no float, and 10^30 no number of numpy's."""
    for size in (2**53 + 1, 10**30, 10**400, -(10**30)):
        with pytest.raises(
            UsageError, match=r"setting model\.hidden\.1: input should lie within 9,007,199,254,740,992$"
        ):
            build(EnsembleConfig, {"hidden": [8, size]}, "model.")
    assert build(EnsembleConfig, {"patience": 2**53}).patience == 2**53


def test_a_long_value_is_not_shown_whole() -> None:
    with pytest.raises(UsageError) as refusal:
        build(EnsembleConfig, {"members": "x" * 5000}, "model.")
    assert len(str(refusal.value)) < 500
    assert str(refusal.value).startswith("setting model.members = 'xxx")
