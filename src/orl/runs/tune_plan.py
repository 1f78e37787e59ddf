"""The plan of a tune: what its parts are measured to cost, and what of them the budget holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orl.data.audit.delays import advised_history
from orl.data.audit.delays import history as past_findings
from orl.data.episodes import Dataset
from orl.errors import UsageError
from orl.runs.budget import Cost, scaled_steps, whole_epochs
from orl.runs.candidates import CandidateConfig, CandidateSet, resolve_candidate, resolve_model
from orl.runs.config import PolicyRunConfig
from orl.runs.memory_needs import ensemble_plan, policy_plan
from orl.runs.probe import probe_ensemble, probe_policy
from orl.runs.reporter import Reporter


class Measured(NamedTuple):
    """What a tune knows before it fits anything.

    Attributes:
        history: earlier observations and actions that the ensemble and the candidates see. why: where that is from.
        model_epochs: of the ensemble's fit, at most; None where no candidate needs one. model_epoch: seconds of one.
        costs: of training, by candidate. epoch_steps: updates of an epoch, by candidate.
    """

    history: int
    why: str
    model_epochs: int | None
    model_epoch: float
    costs: dict[str, Cost]
    epoch_steps: dict[str, int]

    def document(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return self._asdict() | {"costs": {name: cost._asdict() for name, cost in self.costs.items()}}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Measured:
        """From those values."""
        return cls(**{**values, "costs": {name: Cost(**cost) for name, cost in values["costs"].items()}})

    @property
    def model_seconds(self) -> float:
        """The longest that the ensemble's fit will take."""
        return (self.model_epochs or 0) * self.model_epoch


def measure(
    dataset: Dataset, candidates: CandidateSet, seconds: float, reporter: Reporter, between: Callable[[], None]
) -> Measured:
    """Settle the history, refuse what does not fit into memory, and time the ensemble and every candidate.

    Args:
        seconds: the whole budget. between: called between two measurements.

    Raises:
        UsageError: a setting is wrong, or the memory is too small.
    """
    history, why = settle_history(dataset, candidates.shared.history, reporter)
    configs = {
        each.name: resolve_candidate(dataset.name, candidates, each, history)[0] for each in candidates.candidate
    }
    if candidates.ope.discount is None:
        refuse_other_discounts(configs)
    for config in configs.values():
        policy_plan(dataset, config).refuse_if_too_large()
    between()
    epochs, epoch = None, 0.0
    if candidates.needs_model:
        fit, _ = resolve_model(dataset.name, candidates, history)
        ensemble_plan(dataset, fit).refuse_if_too_large()
        reporter.message("timing the ensemble")
        epoch = probe_ensemble(dataset, fit).epoch_seconds
        epochs = affordable_epochs(candidates.budget.model * seconds, epoch, fit.model.max_epochs)
    costs: dict[str, Cost] = {}
    for name, config in configs.items():
        between()
        reporter.message(f"timing {name}")
        began = time.perf_counter()
        estimate = probe_policy(dataset, config)
        # what the probe takes is mostly compilation, which the training has before it as well
        costs[name] = Cost(time.perf_counter() - began, estimate.epoch_seconds / config.train.epoch_steps)
    epoch_steps = {name: config.train.epoch_steps for name, config in configs.items()}
    return Measured(history, why, epochs, epoch, costs, epoch_steps)


def refuse_other_discounts(configs: Mapping[str, PolicyRunConfig]) -> None:
    """UsageError unless all candidates that have a discount have the same: values of others cannot be compared."""
    found = {config.agent.discount: name for name, config in configs.items() if hasattr(config.agent, "discount")}
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise UsageError(
            f"agent.discount is {one:g} for {first} and {other:g} for {second}; candidates are compared at one discount"
        )


def settle_history(dataset: Dataset, stated: int | str, reporter: Reporter) -> tuple[int, str]:
    """The history and where it is from: what was stated, or for "auto" what the audit of the log advises."""
    if isinstance(stated, int):
        return stated, "stated"
    reporter.message("asking the log whether the past matters")
    findings = past_findings(dataset)
    for finding in findings:
        reporter.message(f"{finding.check} in {finding.where}: {finding.message}")
    return advised_history(findings), "; ".join(f"{each.check} in {each.where}" for each in findings) or "nothing found"


def affordable_epochs(seconds: float, epoch: float, declared: int) -> int:
    """Epochs of the ensemble's fit that `seconds` hold, at least one, at most as many as are declared."""
    return max(1, min(declared, int(seconds / epoch)))


def allot(
    candidates: CandidateSet,
    measured: Measured,
    seconds: float,
    spent: float,
    left: Sequence[CandidateConfig],
    entries: Mapping[str, Mapping[str, Any]],
) -> list[int | None]:
    """Updates of each of the candidates that are left, None for one that the time does not hold.

    Time is what the budget has left after `spent` seconds and the judgement's share; costs are those measured
    beforehand, corrected by what the finished trainings took. The first candidate of all is trained in any case.
    """
    available = seconds * (1.0 - candidates.budget.judgement) - spent
    late = lateness(measured, entries)
    costs = [late.correct(measured.costs[each.name]) for each in left]
    epochs = [measured.epoch_steps[each.name] for each in left]
    minimum = candidates.budget.min_steps
    updates = scaled_steps([each.steps for each in left], costs, epochs, available, minimum)
    if updates[0] is None and left[0] is candidates.candidate[0]:
        updates[0] = whole_epochs(min(left[0].steps, minimum), epochs[0])
    return updates


class Lateness(NamedTuple):
    """How finished trainings compare with what was measured before: `pace` of an update, seconds more `overhead`."""

    pace: float = 1.0
    overhead: float = 0.0

    def correct(self, cost: Cost) -> Cost:
        """The cost of a training that is late in the same way."""
        return Cost(cost.overhead + self.overhead, cost.per_step * self.pace)


def lateness(measured: Measured, entries: Mapping[str, Mapping[str, Any]]) -> Lateness:
    """Of all finished trainings together; none where nothing has finished."""
    done = [(measured.costs[name], entry) for name, entry in entries.items() if entry["seconds_per_update"]]
    if not done:
        return Lateness()
    expected = sum(cost.per_step * entry["updates"] for cost, entry in done)
    took = sum(entry["seconds_per_update"] * entry["updates"] for _, entry in done)
    rest = [entry["seconds"] - entry["seconds_per_update"] * entry["updates"] - cost.overhead for cost, entry in done]
    return Lateness(took / expected, max(0.0, sum(rest) / len(rest)))


def first_plan(candidates: CandidateSet, measured: Measured, seconds: float, spent: float) -> dict[str, int | None]:
    """Updates by candidate if everything takes what it was measured to take, and the ensemble its longest."""
    left = candidates.candidate
    updates = allot(candidates, measured, seconds, spent + measured.model_seconds, left, {})
    return dict(zip([each.name for each in left], updates, strict=True))


def plan_document(candidates: CandidateSet, measured: Measured, seconds: float, spent: float) -> dict[str, Any]:
    """The plan as plain values: what is measured, and updates and seconds of each part."""
    updates = first_plan(candidates, measured, seconds, spent)
    return {
        "budget_seconds": seconds,
        "history": {"value": measured.history, "why": measured.why},
        "model": None
        if measured.model_epochs is None
        else {"max_epochs": measured.model_epochs, "seconds": measured.model_seconds},
        "candidates": [
            {
                "name": each.name,
                "algorithm": each.algo,
                "wanted": each.steps,
                "updates": updates[each.name],
                "seconds": None if updates[each.name] is None else measured.costs[each.name].seconds(count),
            }
            for each in candidates.candidate
            for count in [updates[each.name] or 0]
        ],
        "judgement_seconds": candidates.budget.judgement * seconds,
        "spent_seconds": spent,
    }
