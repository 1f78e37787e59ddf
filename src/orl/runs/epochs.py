"""The loop of every fit: epochs, their metrics, checkpoints, and a stop that can be gone on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from orl.errors import Interrupted
from orl.finite import Onset, tell
from orl.runs.checkpoints import Checkpoints
from orl.runs.directory import RunDirectory
from orl.runs.divergence import divergence, scale_entry
from orl.runs.interrupt import stop_requested
from orl.runs.reporter import Reporter

State = TypeVar("State")


@dataclass(frozen=True)
class Fit:
    """What `run_epochs` repeats.

    Attributes:
        title: said while it runs. total: epochs at most. updates: in an epoch. config: of the run.
        epoch: state -> (state, metrics, what was not finite), compiled.
        done: whether a state needs no further epoch. items: what a checkpoint holds, "state" among it.
        shown: the metrics worth showing. largest_reward: of the data, in absolute value.
        checkpoint_every: epochs between checkpoints.
    """

    title: str
    total: int
    updates: int
    config: Any
    epoch: Callable[[Any], tuple[Any, Mapping[str, Any], Onset]]
    done: Callable[[Any], bool]
    items: Callable[[Any], Mapping[str, Any]]
    shown: Callable[[Mapping[str, float]], Mapping[str, float]]
    largest_reward: float
    checkpoint_every: int


def run_epochs(run: RunDirectory, fit: Fit, state: State, reporter: Reporter) -> State:
    """Go on from the newest checkpoint, else from `state`, until done; returns the last state.

    Raises:
        Divergence: a tensor is not finite. Interrupted: SIGINT or SIGTERM came, after a checkpoint.
    """
    checkpoints = Checkpoints(run.checkpoints)
    try:
        return _run_from_checkpoint(run, fit, state, reporter, checkpoints)
    finally:
        checkpoints.close()


def _run_from_checkpoint(
    run: RunDirectory, fit: Fit, state: State, reporter: Reporter, checkpoints: Checkpoints
) -> State:
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
                run.update(status="interrupted")
                raise Interrupted(f"stopped at epoch {epoch}; the same command goes on from there")
    reporter.finish()
    return state


def _one_epoch(run: RunDirectory, fit: Fit, state: Any, epoch: int, reporter: Reporter) -> Any:
    started = time.perf_counter()
    state, metrics, onset = fit.epoch(state)
    row: Mapping[str, float] = {key: float(value) for key, value in metrics.items()}
    if found := tell(onset):
        raise divergence(found, epoch, fit.updates, fit.config, fit.largest_reward)
    line = {"step": epoch, **row, **scale_entry(run)}
    run.append("metrics.jsonl", line)
    reporter.row(run, line)
    run.append("timings.jsonl", {"step": epoch, "seconds": time.perf_counter() - started})
    reporter.advance(epoch, fit.shown(row))
    return state
