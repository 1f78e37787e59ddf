"""The loop of every fit: epochs, their metrics, checkpoints, and a stop that can be gone on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from orl.errors import DivergedError, Interrupted
from orl.runs.checkpoints import Checkpoints
from orl.runs.directory import RunDirectory
from orl.runs.interrupt import stop_requested
from orl.runs.reporter import Reporter

State = TypeVar("State")


@dataclass(frozen=True)
class Fit:
    """What `run_epochs` repeats.

    Attributes:
        title: said while it runs. total: epochs at most. epoch: state -> (state, metrics), compiled.
        done: whether a state needs no further epoch. items: what a checkpoint holds, "state" among it.
        shown: the metrics worth showing. advice: what to try when a metric is not finite.
        checkpoint_every: epochs between checkpoints.
    """

    title: str
    total: int
    epoch: Callable[[Any], tuple[Any, Mapping[str, Any]]]
    done: Callable[[Any], bool]
    items: Callable[[Any], Mapping[str, Any]]
    shown: Callable[[Mapping[str, float]], Mapping[str, float]]
    advice: str
    checkpoint_every: int


def run_epochs(run: RunDirectory, fit: Fit, state: State, reporter: Reporter) -> State:
    """Go on from the newest checkpoint, else from `state`, until done; returns the last state.

    Raises:
        DivergedError: a metric is not finite. Interrupted: SIGINT or SIGTERM came, after a checkpoint.
    """
    checkpoints = Checkpoints(run.checkpoints)
    latest = checkpoints.latest()
    if latest is not None:
        state = checkpoints.restore(latest, state=state)["state"]
        reporter.message(f"going on from epoch {latest}")
    run.rewind(latest or 0)
    reporter.start(fit.title, fit.total, "epochs", latest or 0)
    with stop_requested() as stopping:
        for epoch in range((latest or 0) + 1, fit.total + 1):
            if fit.done(state):
                break
            state = _one_epoch(run, fit, state, epoch, reporter)
            done = fit.done(state) or epoch == fit.total
            if done or stopping() or epoch % fit.checkpoint_every == 0:
                checkpoints.save(epoch, fit.items(state))
            if stopping() and not done:
                checkpoints.close()
                run.update(status="interrupted")
                raise Interrupted(f"stopped at epoch {epoch}; the same command goes on from there")
    checkpoints.close()
    reporter.finish()
    return state


def _one_epoch(run: RunDirectory, fit: Fit, state: Any, epoch: int, reporter: Reporter) -> Any:
    started = time.perf_counter()
    state, metrics = fit.epoch(state)
    row: Mapping[str, float] = {key: float(value) for key, value in metrics.items()}
    if not all(np.isfinite(value) for value in row.values()):
        names = ", ".join(key for key, value in row.items() if not np.isfinite(value))
        run.update(status="diverged")
        raise DivergedError(f"the fit diverged in epoch {epoch}: {names} not finite; {fit.advice}")
    run.append("metrics.jsonl", {"step": epoch, **row})
    run.append("timings.jsonl", {"step": epoch, "seconds": time.perf_counter() - started})
    reporter.advance(epoch, fit.shown(row))
    return state
