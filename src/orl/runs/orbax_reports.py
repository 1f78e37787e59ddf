"""What Orbax and TensorStore print of an error that they raise as well: left out, the command says it in one line."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


@contextmanager
def unlogged() -> Iterator[None]:
    """Orbax logs the traceback of an error that it raises as well, and some of its threads do so later."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before  # not after a failure, as below


@contextmanager
def unreported() -> Iterator[None]:
    """After a failure every array that Orbax did not wait for is reported as well, some after it closed its loop:
    TensorStore's threads print them by one hook of the interpreter or the other."""
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def late(error: BaseException | None) -> bool:
        return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"

    def report(found: sys.UnraisableHookArgs) -> None:
        if not (late(found.exc_value) or inspect.iscoroutine(found.object)):
            unraisable(found)

    def print_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not late(error):
            uncaught(kind, error, trace)

    sys.unraisablehook, sys.excepthook = report, print_uncaught
    yield
    sys.unraisablehook, sys.excepthook = unraisable, uncaught  # not after a failure: these reports are still to come
