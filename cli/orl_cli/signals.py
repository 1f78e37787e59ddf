"""Signals outside of a loop that saves: the command ends in order, and a second signal ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orl.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONE_SIGNAL_SECONDS = 1.0  # as in `runs.interrupt`


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block SIGTERM is what SIGINT is, a KeyboardInterrupt, and a second signal ends the process at once.

    Python runs its signal handlers between two steps of its own, so not while a compiled program is at work, which
    can take minutes. A thread of its own therefore counts the signals as they come. Does nothing outside of the main
    thread, where handlers cannot be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    before = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    asked = threading.Event()

    def interrupt_once(number: int, frame: FrameType | None) -> None:
        if not asked.is_set():  # not while the first one is being answered: the thread sees to that
            asked.set()
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt_once) for number in SIGNALS}
    threading.Thread(target=_leave_at_the_second, args=(source,), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(sink)  # which ends the thread


def _leave_at_the_second(source: int) -> None:
    first: float | None = None
    while received := os.read(source, 1):
        if received[0] not in SIGNALS:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first >= ONE_SIGNAL_SECONDS:
            os.write(2, b"orl: stopped at once; what was saved before is kept, and the same command goes on\n")
            os._exit(Interrupted.exit_code)
    os.close(source)
