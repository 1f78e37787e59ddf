"""What follows when a tensor stops being finite: the run stops, or goes back once and on at lower learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from orl.errors import DivergedError
from orl.files import remove_folder
from orl.finite import NotFinite
from orl.runs.directory import RunDirectory
from orl.runs.reporter import Reporter
from orl.runs.seals import steps

T = TypeVar("T")
Config = TypeVar("Config")
OnDivergence = Literal["stop", "rollback"]

FACTOR = 0.1  # of every learning rate after a rollback: the usual step of schedules that react to a plateau
LARGEST_REWARD = 1e18  # float32 holds the square of an error of 1e19
# what the name of a policy's tensor begins with, and the setting that makes it smaller
REMEDIES = (
    (("actor", "target_actor", "behaviour_distance"), "actor_learning_rate"),
    (("alpha", "log_alpha", "entropy"), "alpha_learning_rate"),
    (("conservative",), "conservative_weight"),
    (("regulariser",), "lagrange_learning_rate"),
    (("critic", "target_critic", "q"), "critic_learning_rate"),
    (("rollout", "uncertainty", "penalty", "discrepancy", "halted", "threshold"), "rollout_length"),
)


class Divergence(DivergedError):
    """A tensor was not finite in a run that can go back.

    Attributes:
        good: epochs after which the state was still good. tensor, step: what, and at which update.
        remedy: what the user can do about it.
    """

    def __init__(self, said: str, good: int, tensor: str, step: int, remedy: str) -> None:
        super().__init__(said)
        self.good, self.tensor, self.step, self.remedy = good, tensor, step, remedy


def divergence(
    found: NotFinite, epoch: int, updates: int, config: Any, largest_reward: float, seed: int | None = None
) -> Divergence:
    """The error that says which tensor was not finite, when, and what to lower.

    Args:
        epoch: the one that has just run, from 1. updates: in an epoch. config: of the run.
        largest_reward: of the data, in absolute value. seed: the one it happened to.
    """
    step = (epoch - 1) * updates + found.update + 1
    when = f"at update {step}" + (f" (epoch {epoch})" if found.update >= 0 else "")
    if found.update < 0:
        when = f"in checkpoint {epoch - 1}" if epoch > 1 else "before the first update"
    whose = "" if seed is None else f" of seed {seed}"
    remedy = f"lower {setting_to_lower(found.tensor, config)}"
    if largest_reward > LARGEST_REWARD:
        remedy = f"the largest |reward| in the data is {largest_reward:.3g}, too large to be squared: scale the rewards"
    said = f"{found.tensor}{whose} is not finite {when}"
    return Divergence(said, epoch - 1 - (found.update < 0), found.tensor, step, remedy)


def setting_to_lower(tensor: str, config: Any) -> str:
    """The setting that makes a tensor smaller, with its value: "agent.critic_learning_rate (0.0003 here)"."""
    if not hasattr(config, "agent"):
        return f"model.learning_rate ({config.model.learning_rate:g} here)"
    name = tensor.removeprefix("mean squared ").removeprefix("gradient of ")
    for beginnings, setting in REMEDIES:
        if name.startswith(beginnings) and hasattr(config.agent, setting):
            return f"agent.{setting} ({getattr(config.agent, setting):g} here)"
    return "the learning rates"


def lowered(config: Config, scale: float) -> Config:
    """The settings with every learning rate, however deep, times `scale`."""
    changed: dict[str, Any] = {}
    for each in fields(config):  # type: ignore[arg-type]
        value = getattr(config, each.name)
        if each.name.endswith("learning_rate"):
            changed[each.name] = value * scale
        elif is_dataclass(value):
            changed[each.name] = lowered(value, scale)
    return replace(config, **changed)  # type: ignore[type-var]


def rate_scale(run: RunDirectory) -> float:
    """What the run's learning rates are multiplied by: 1, or after a rollback what it recorded."""
    rollback: Mapping[str, Any] = run.record.get("rollback") or {}
    return float(rollback.get("learning_rate_scale", 1.0))


def scale_entry(run: RunDirectory) -> dict[str, float]:
    """What rows of metrics.jsonl say of a rollback; nothing where there was none."""
    return {"learning_rate_scale": rate_scale(run)} if run.record.get("rollback") else {}


def with_rollback(
    run: RunDirectory, on_divergence: OnDivergence, every: int, reporter: Reporter, work: Callable[[float], T]
) -> T:
    """`work(scale of the learning rates)`; where it diverges and a rollback is wanted, once more from further back.

    What a rollback decides stands in run.json before it is acted on: a run that is killed goes on with it.

    Args:
        every: epochs between checkpoints. work: goes on from the newest checkpoint.

    Raises:
        DivergedError: no rollback is wanted, or there was one.
    """
    try:
        return work(rate_scale(run))
    except Divergence as error:
        before = run.record.get("rollback")
        if before or on_divergence == "stop":
            run.update(status="diverged")
            again = f", although the learning rates were lowered after epoch {before['epoch']}" if before else ""
            other = "" if before else ", or go on with lower learning rates: --on-divergence rollback"
            raise DivergedError(
                f"diverged: {error}{again}; the checkpoints in {run.path} are kept; {error.remedy}{other}"
            ) from None
        epoch = go_back(run, error.good, every)
        told = {"epoch": epoch, "learning_rate_scale": FACTOR, "tensor": error.tensor, "step": error.step}
        run.update(rollback=told)
        reporter.message(f"diverged: {error}; going back to epoch {epoch}, with a tenth of the learning rates")
    return with_rollback(run, on_divergence, every, reporter, work)


def go_back(run: RunDirectory, good: int, every: int) -> int:
    """Delete the checkpoints after the one to go back to; returns its epoch, 0 for the start.

    That is the newest good one on the schedule, so that a run that was stopped in between goes back as far as one that
    was not; without any, the newest good one.
    """
    there = steps(run.checkpoints)
    usable = [step for step in there if step <= good]
    target = max([step for step in usable if step % every == 0] or usable, default=0)
    for step in there:
        if step > target:
            remove_folder(run.checkpoints / str(step))
    return target
