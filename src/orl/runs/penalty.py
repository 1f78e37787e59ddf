"""`--penalty`: lambda as a number, or calibrated on the model's held-out rows before the run begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from orl.algorithms import ALGORITHMS
from orl.config import merge
from orl.data.episodes import Dataset
from orl.errors import UsageError
from orl.evaluation.diagnosis.conformal import checked_share
from orl.runs.calibration import SHARE, calibrate
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import load_run
from orl.runs.fit_model import FittedModel
from orl.runs.reporter import Reporter

CALIBRATED = "calibrated"
DECIDED = ("uncertainty", "uncertainty_units", "penalty_coef")  # the agent's settings that a calibration decides


def penalty_settings(
    algorithm: str, settings: dict[str, Any], penalty: str | None, share: float | None
) -> tuple[dict[str, Any], float | None]:
    """The user's settings with `--penalty` on top, and the share to calibrate it for (None: it is not to be).

    Raises:
        UsageError: the algorithm has no such penalty, the options do not go together or are out of range, or the
            settings name what the calibration decides.
    """
    if penalty != CALIBRATED and share is not None:
        raise UsageError(f"--share goes with --penalty {CALIBRATED}")
    if penalty is None:
        return settings, None
    check_penalty(algorithm, calibrated=penalty == CALIBRATED)
    if penalty != CALIBRATED:
        return merge(settings, {"agent": {"penalty_coef": _number(penalty)}}), None
    agent = settings.get("agent")
    named = [key for key in DECIDED if isinstance(agent, Mapping) and key in agent]
    if named:
        raise UsageError(
            f"--penalty {CALIBRATED} decides agent.{named[0]}; leave that out of --set and --config, or --penalty"
        )
    return settings, checked_share(SHARE if share is None else share)


def check_penalty(algorithm: str, *, calibrated: bool) -> None:
    """UsageError unless the algorithm has a lambda, and for a calibrated one an uncertainty that can be chosen."""
    needed = set(DECIDED if calibrated else ("penalty_coef",))
    able = [name for name, entry in ALGORITHMS.items() if needed <= {field.name for field in fields(entry.config)}]
    if algorithm in ALGORITHMS and algorithm not in able:
        what = f"--penalty {CALIBRATED}" if calibrated else "--penalty"
        raise UsageError(f"{algorithm} subtracts no such penalty from rewards; {what} goes with {', '.join(able)}")


def recorded_penalty(path: Path, share: float) -> dict[str, Any] | None:
    """The figures that the run at `path` was calibrated to, None where there is no run yet.

    Raises:
        UsageError: the run there was not calibrated, or for another share.
    """
    if not (path / "run.json").exists():
        return None
    figures = load_run(path).record.get("penalty")
    there = None if figures is None else figures["share"]
    if there != share:
        held = "its penalty is not calibrated" if there is None else f"its penalty covers a share of {there:g}"
        raise UsageError(
            f"{path} holds another run: {held}, and {share:g} is asked for now; choose another folder with --out, or"
            " replace it with --force"
        )
    return figures


def with_penalty(config: PolicyRunConfig, figures: Mapping[str, Any]) -> PolicyRunConfig:
    """The settings with what a calibration decided."""
    return replace(config, agent=replace(config.agent, **{key: figures[key] for key in DECIDED}))


def calibrated_penalty(
    dataset: Dataset, config: PolicyRunConfig, fitted: FittedModel, share: float, reporter: Reporter
) -> dict[str, Any]:
    """The figures of a calibration for these settings, for run.json."""
    reporter.message("calibrating the penalty on held-out episodes")
    found = calibrate(dataset, fitted, discount=config.agent.discount, seed=config.model_seed, share=share)
    for line in (found.summary(), found.caution()):
        if line:
            reporter.message(line)
    return found.document()


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise UsageError(f"--penalty {text}: expected a number, 0 or more, or {CALIBRATED}")
    return value


def path_suffix(share: float | None) -> str:
    """What tells a calibrated run's folder from that of the preset's penalty."""
    return "" if share is None else f"-{CALIBRATED}" + ("" if share == SHARE else f"{share:g}")
