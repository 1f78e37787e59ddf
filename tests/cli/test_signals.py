"""Signals while a command loads, compiles or judges: it ends with 75, and a second one ends it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from orl_cli.common import guarded
from orl_cli.signals import interruptible

PROGRAM = """
import hashlib, sys, time
from orl_cli import signals
signals.ONE_SIGNAL_SECONDS = float(sys.argv[1])
with signals.interruptible():
    try:
        print("ready", flush=True)  # a signal may come as soon as this is read
        # a long call that lets go of the interpreter's lock, as a compiled program does
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[2]))
        sys.stdin.read()
    except KeyboardInterrupt:
        time.sleep(0.3)  # what is left to do in order
        print("in order", flush=True)
        sys.exit(75)
"""


def started(*words: str) -> Any:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to tell what a process is at")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_program_that_cannot_answer_the_first(number: signal.Signals) -> None:
    """No handler of Python runs inside the call, which takes minutes."""
    process = started("0", str(10**9))
    begun = cpu_seconds(process.pid)
    while cpu_seconds(process.pid) < begun + 0.1:  # then it is inside the call
        time.sleep(0.01)
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (75, "")
    assert err == "orl: stopped at once; what was saved before is kept, and the same command goes on\n"


def test_signals_that_come_together_are_one() -> None:
    """`timeout` signals a process and then its group: the answer to the first is not cut off by the second."""
    process = started("60", "1")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (75, "in order\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_with_75_and_the_handlers_are_as_before(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(typer.Exit) as left:
        guarded(lambda: signal.raise_signal(number))()
    assert left.value.exit_code == 75
    assert capsys.readouterr().err == "orl: interrupted; what was saved before is kept, and the same command goes on\n"
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_loop_that_saves_is_asked_first() -> None:
    """Inside a command, a loop's own answer to the first signal goes before the command's."""
    from orl.runs.interrupt import stop_requested

    with interruptible(), stop_requested() as stopping:
        signal.raise_signal(signal.SIGTERM)
        assert stopping()


@pytest.mark.parametrize(("number", "line"), [(28, "No space left on device"), (30, "Read-only file system")])
def test_a_full_disk_nobody_foresaw_is_one_line(number: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise OSError(number, os.strerror(number), "x.png")

    with pytest.raises(typer.Exit) as left:
        guarded(command)()
    assert left.value.exit_code == 2
    assert capsys.readouterr().err.startswith(f"orl: cannot write x.png: {line}; ")


def test_other_errors_of_the_system_keep_their_traceback() -> None:
    def command() -> None:
        raise FileNotFoundError(2, "gone", "x")

    with pytest.raises(FileNotFoundError):
        guarded(command)()
