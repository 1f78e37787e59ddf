"""SIGINT and SIGTERM ask a run to save and leave; a second one, a second later or more, leaves at once.

What comes within that second counts as one: `timeout` and some schedulers signal a process and its group at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ONE_SIGNAL_SECONDS = 1.0


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Inside the block, a function that says whether a stop was asked for.

    A block inside another shares its answer: what stops a part stops the whole, even where the part came to its end.
    Signal handlers can only be set in the main thread; elsewhere the function always says no.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    if _open:
        yield _open[-1].is_set
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first: list[float] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        asked.set()
        if not first:
            first.append(time.monotonic())
        elif time.monotonic() - first[0] >= ONE_SIGNAL_SECONDS:
            for each, handler in previous.items():  # the second signal is for whoever handled them before
                signal.signal(each, handler)
            signal.raise_signal(number)

    try:
        for number in previous:
            signal.signal(number, on_signal)
        _open.append(asked)
        yield asked.is_set
    finally:
        _open.clear()
        for number, handler in previous.items():
            signal.signal(number, handler)


_open: list[threading.Event] = []  # that of the outermost block, if one is open
