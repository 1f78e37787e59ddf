"""What comes from data is shown as it is written: it neither styles, nor moves the cursor, nor breaks the table."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl_cli.console import PlainReporter, RichReporter, error_line, out, plain, print_table

EVIL = "[red]x[/red]\x1b[2J"
SHOWN = "[red]x[/red]\\x1b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pump – 3 µm\n\tline 2", "pump – 3 µm\n\tline 2"),
        (EVIL, SHOWN),
        ("\x07\r\x9b31m", "\\x07\\r\\x9b31m"),  # bell, overwriting a line, a control sequence in one character
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),  # turns the order of letters around
        ("\udcff", "\\udcff"),  # half a character, which could not be written
        (":warning:", ":warning:"),
    ],
)
def test_control_characters_become_escapes(text: str, shown: str) -> None:
    assert plain(text) == shown


def table_of(text: str) -> Any:
    """A table with `text` everywhere that a string may stand."""
    from rich.table import Table

    table = Table(title=text, caption=text)
    table.add_column(text, overflow="fold")
    table.add_row(text)
    return table


def test_a_table_shows_markup_and_control_sequences_as_text() -> None:
    stream = io.StringIO()
    print_table(table_of(EVIL), stream)
    assert stream.getvalue().count(SHOWN) == 4  # title, header, cell, caption
    assert "\x1b" not in stream.getvalue()
    stream = io.StringIO()
    print_table(table_of("[/nothing] :smile:"), stream)  # as mark-up this would be an error
    assert stream.getvalue().count("[/nothing] :smile:") == 4


def test_lines_and_progress_show_them_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    out(EVIL)
    error_line(EVIL)
    PlainReporter().start(EVIL, 2, "steps")
    done = capsys.readouterr()
    assert done.out == f"{SHOWN}\n"
    assert done.err == f"orl: {SHOWN}\n{SHOWN}: 2 steps\n"


def test_the_progress_bar_shows_them_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    reporter = RichReporter()
    reporter.message(EVIL)
    reporter.start(EVIL, 2, "steps")
    reporter.advance(1, {EVIL: 1.0})
    reporter.finish()
    assert stream.getvalue().startswith(f"{SHOWN}\n")
    assert f"{SHOWN} " in stream.getvalue().split("\n", 1)[1]
    assert "\x1b" not in stream.getvalue()


def test_a_column_of_that_name_through_the_program(
    orl: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "minari").mkdir()
    columns = {EVIL: np.arange(12.0), "a": np.linspace(-1, 1, 12), "r": np.ones(12)}
    np.savez(tmp_path / "log.npz", **columns)
    words = ["data", "import", tmp_path / "log.npz", "--id", "made/log-v0", "--obs", EVIL, "--action", "a"]
    done = orl(*words, "--reward", "r")
    assert (done.code, "\x1b" in done.out + done.err) == (0, False)
    assert SHOWN in done.out
    wrong = orl("data", "import", tmp_path / "log.npz", "--id", "made/b-v0", "--obs", "q", "--action", "a")
    assert (wrong.code, "\x1b" in wrong.out + wrong.err) == (2, False)
    assert SHOWN in wrong.err


def test_a_dataset_of_that_name_and_environment_through_the_program(
    orl: Callable[..., Any], pendulum_log: str, sandbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = sandbox / "minari" / pendulum_log, tmp_path / "minari" / f"{EVIL}-v0"
    shutil.copytree(source, target)
    file = target / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    spec = json.loads(metadata["env_spec"]) | {"id": EVIL}
    file.write_text(json.dumps(metadata | {"env_spec": json.dumps(spec)}))
    shutil.copytree(target, tmp_path / "minari" / "fair-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    listed = orl("data", "list")
    assert (listed.code, "\x1b" in listed.out + listed.err) == (0, False)
    assert "[red]x[/red]" in listed.out  # the environment of fair-v0; the rest of it is folded onto the line below
    described = orl("data", "show", "fair-v0")
    assert (described.code, "\x1b" in described.out) == (0, False)
    assert SHOWN in described.out
    refused = orl("data", "show", f"{EVIL}-v0")
    assert (refused.code, "\x1b" in refused.err) == (3, False)
    assert SHOWN in refused.err
