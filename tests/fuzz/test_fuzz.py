"""A sample of `make fuzz`: broken files of every format, and that what judges them can find fault."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import campaign
import pytest
from campaign import BYTES, Reader, reader, run_case, run_sound
from corpus import FORMATS, broken
from fuzz_case import Broken
from judging import Call, fault_of

FILES = 40  # of each format
Started = tuple[Reader, dict[str, dict[str, bytes]]]


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    """One reader for all files, and the files of sound runs."""
    with reader() as both:
        yield both


@pytest.mark.parametrize("kind", FORMATS)
def test_broken_files_end_in_one_line(kind: str, started: Started) -> None:
    """Code 2 or 3 and a line that names the file, or a file that is a sound log; no crash, hang or flood of memory."""
    child, runs = started
    sound = run_sound(child, kind, runs)
    assert (sound.fault, set(sound.codes.values())) == ("", {0})
    found = [run_case(child, kind, seed, runs) for seed in range(FILES)]
    assert [(each.seed, each.how, each.fault) for each in found if each.fault] == []
    codes = {code for each in found for code in each.codes.values()}
    assert codes & {2, 3}
    assert codes <= {0, 2, 3}
    assert max(each.bytes for each in found) < BYTES
    assert child.starts == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_case_is_its_format_and_its_number(kind: str) -> None:
    files = {"run.json": b'{"kind": "policy", "seeds": [0, 1]}', "config.toml": b"a = 1"}
    files |= {"metrics.jsonl": b'{"step": 1}\n', "checkpoints/2/model/d/0": b"0123456789" * 9}
    runs = {"policy": files}
    cases = [broken(kind, seed, runs) for seed in (0, 1, 2, 3, 0)]
    assert cases[0].how == cases[-1].how
    if kind not in ("hdf5", "minari hdf5"):  # whose writer leaves some bytes as it finds them
        assert cases[0].files == cases[-1].files
    assert len({tuple(each.files.values()) for each in cases}) >= 3


CASE = Broken({"log.csv": b""}, "log.csv", "empty")


@pytest.mark.parametrize(
    ("case", "call", "fault"),
    [
        (CASE, Call("d", 3, "", "orl: log.csv: is empty\n"), ""),
        (CASE, Call("d", 3, "", "orl: note: a word first\norl: log.csv: is empty\n"), ""),
        (CASE, Call("d", 0, "{}", ""), ""),
        (CASE, Call("d", 1, "", "Traceback (most recent call last):\nKeyError: 'x'\n"), "d: code 1"),
        (CASE, Call("d", 3, "", "Traceback (most recent call last):\norl: log.csv: is empty\n"), "d: code 3"),
        (CASE, Call("d", 4, "", "orl: log.csv: is empty\n"), "d: code 4"),
        (CASE, Call("d", 3, "", "orl: is empty\n"), "d: names no file"),
        (CASE, Call("d", 3, "", "orl: log.csv\norl: is empty\n"), "d: 2 lines"),
        (CASE, Call("d", 3, "", ""), "d: 0 lines"),
        (CASE, Call("d", 3, "", f"orl: log.csv: {'x' * 2000}\n"), "d: a message of 2014 characters"),
        (CASE, Call("data list", 3, "", "orl: log.csv\n"), "data list: ends with 3"),
        (CASE, Call("d", 0, '{"finite": false}', ""), "d: parameters that are no numbers"),
        (CASE._replace(fatal=True), Call("data show", 0, '{"fingerprint": "f"}', ""), "accepted, though it cannot be"),
        (CASE._replace(same=True), Call("data show", 0, '{"fingerprint": "f"}', ""), ""),
        (CASE._replace(same=True), Call("data show", 0, '{"fingerprint": "g"}', ""), "accepted as another log"),
    ],
)  # fmt: skip
def test_faults_are_found(case: Broken, call: Call, fault: str) -> None:
    assert fault_of(case, [call], "f").startswith(fault)
    assert bool(fault_of(case, [call], "f")) == bool(fault)


def test_what_load_refuses_the_check_must_not_let_pass() -> None:
    refused, passed = Call("data show", 3, "", "orl: log.csv: x\n"), Call("data check", 0, "{}", "")
    assert fault_of(CASE, [refused, passed], "f") == "load refuses what the check lets pass"
    assert fault_of(CASE, [refused, passed._replace(code=3)], "f") == ""


def test_a_reader_that_hangs_or_dies_is_noticed_and_replaced(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child, runs = started
    monkeypatch.setattr(campaign, "SECONDS", 0.5)
    os.kill(child.pid, signal.SIGSTOP)
    assert run_case(child, "csv", 0, runs).fault == "no answer in 0.5 s"
    monkeypatch.setattr(campaign, "SECONDS", 30.0)
    starts = child.starts
    assert child.read({"format": "csv", "path": "x", "folder": str(tmp_path / "absent"), "warm": 5})["fault"] == (
        "the reader died (1)"
    )
    assert child.starts == starts + 1
