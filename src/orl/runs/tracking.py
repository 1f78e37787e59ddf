"""Metrics for TensorBoard, Weights & Biases or MLflow, beside metrics.jsonl: a reporter that passes rows on.

Whoever tracks is no part of a run: its settings, its identity and its bytes are the same without. All it leaves is the
folder `tracking` in the run's own.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from orl.errors import MissingError
from orl.runs.directory import RunDirectory, config_tree, flat_settings, read_json, write_json
from orl.runs.reporter import Reporter

FOLDER, PROJECT = "tracking", "orl"
SEED, STEP = "seed", "step"


class Tracker(Protocol):
    """Where the metrics of one run go."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Values at a step; never the same name and step twice."""

    def close(self) -> None:
        """Nothing follows for now; a later call may go on."""


class TensorBoard:
    """Event files in the run's folder, for `tensorboard --logdir`."""

    def __init__(self, run: RunDirectory, name: str) -> None:
        import tensorboardX

        # files of one second would have one name, and the second call would empty the first one's
        folder, ending = str(run.path / FOLDER / "tensorboard"), f".{uuid.uuid4().hex[:8]}"
        self._writer = tensorboardX.SummaryWriter(folder, filename_suffix=ending)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `orl`, gone on with under its id; WANDB_MODE=offline keeps it in the run's folder."""

    def __init__(self, run: RunDirectory, name: str) -> None:
        import wandb

        self._run = wandb.init(
            project=PROJECT,
            id=name,
            name=run.path.name,
            resume="allow",
            dir=str(run.path / FOLDER),
            config=flat_settings(config_tree(run.path)),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Say that the run is done, and wait until everything is sent."""
        self._run.finish()


class MLflow:
    """A run of the experiment `orl` where MLFLOW_TRACKING_URI says, found again by the tag `orl`."""

    def __init__(self, run: RunDirectory, name: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        there = self._client.get_experiment_by_name(PROJECT)
        experiment = there.experiment_id if there else self._client.create_experiment(PROJECT)
        known = self._client.search_runs([experiment], f"tags.orl = '{name}'")
        if known:
            self._run = known[0].info.run_id
            return
        made = self._client.create_run(experiment, tags={"orl": name}, run_name=run.path.name)
        self._run = made.info.run_id
        for key, value in flat_settings(config_tree(run.path)).items():
            self._client.log_param(self._run, key, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics of a step."""
        for key, value in values.items():
            self._client.log_metric(self._run, key, value, step=step)

    def close(self) -> None:
        """Say that the run is done."""
        self._client.set_terminated(self._run)


# by the word that --tracker takes, which is also that of the extra: the package, and what is made of a run
TRACKERS: dict[str, tuple[str, Callable[[RunDirectory, str], Tracker]]] = {
    "tensorboard": ("tensorboardX", TensorBoard),
    "wandb": ("wandb", WeightsAndBiases),
    "mlflow": ("mlflow", MLflow),
}


class Tracking(Reporter):
    """Tells `inner` everything, and trackers the rows of metrics.jsonl.

    A row is passed on once: a run that goes on from a checkpoint makes the rows after it again, with the same numbers.
    Which step was reached stands in the run's folder before it is passed on, so one that is killed in between may lack
    an epoch and never has one twice. Rows from before the first call that tracks are passed on too. After a rollback
    the trackers keep what they were told before it.
    """

    def __init__(self, inner: Reporter, names: Sequence[str]) -> None:
        self._inner, self._names = inner, names
        self._open: dict[Path, list[_Followed]] = {}

    def message(self, text: str) -> None:
        """Pass it on."""
        self._inner.message(text)

    def start(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Pass it on."""
        self._inner.start(title, total, unit, done)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """Pass it on."""
        self._inner.advance(done, metrics)

    def finish(self) -> None:
        """Pass it on."""
        self._inner.finish()

    def row(self, run: RunDirectory, row: Mapping[str, Any]) -> None:
        """Pass it on, and tell the trackers of the run, which are opened at its first row."""
        self._inner.row(run, row)
        if run.path not in self._open:
            self._open[run.path] = [_Followed(run, name) for name in self._names]
            earlier = [each for each in run.rows("metrics.jsonl") if each[STEP] < row[STEP]]
            for followed in self._open[run.path]:
                for each in earlier:
                    followed.log(each)
        for followed in self._open[run.path]:
            followed.log(row)

    def close(self) -> None:
        """Nothing follows."""
        for followed in [each for every in self._open.values() for each in every]:
            followed.tracker.close()
        self._open.clear()


class _Followed:
    """A tracker of one run, and the step up to which earlier calls have told it."""

    def __init__(self, run: RunDirectory, name: str) -> None:
        self._file = run.path / FOLDER / f"{name}.json"
        self._file.parent.mkdir(exist_ok=True)
        fresh: dict[str, Any] = {"id": uuid.uuid4().hex[:16], STEP: 0}
        state = read_json(self._file) if self._file.is_file() else fresh
        self._id, self._told = str(state["id"]), int(state[STEP])
        self._reached = self._told
        self.tracker = TRACKERS[name][1](run, self._id)

    def log(self, row: Mapping[str, Any]) -> None:
        """Pass a row on, unless an earlier call has."""
        step = int(row[STEP])
        if step <= self._told:
            return
        if step > self._reached:
            self._reached = step
            write_json(self._file, {"id": self._id, STEP: step})
        self.tracker.log(step, named(row))


def named(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite metrics of a row, `critic_loss/seed-0` where it is a seed's."""
    suffix = f"/{SEED}-{row[SEED]}" if SEED in row else ""
    found = {key: value for key, value in row.items() if key not in (STEP, SEED)}
    return {
        f"{key}{suffix}": float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


@contextmanager
def tracked(reporter: Reporter, names: Sequence[str]) -> Iterator[Reporter]:
    """`reporter`, passing rows on to the trackers called `names` inside the block; itself where there are none.

    Raises:
        MissingError: a tracker's package is not installed.
    """
    for name in names:
        _require(name)
    if not names:
        yield reporter
        return
    tracking = Tracking(reporter, list(dict.fromkeys(names)))
    try:
        yield tracking
    finally:
        tracking.close()


def _require(name: str) -> None:
    package = TRACKERS[name][0]
    if find_spec(package) is None:
        raise MissingError(f"--tracker {name} needs {package}; install it with: pip install 'orl[{name}]'")
