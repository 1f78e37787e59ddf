"""The candidates of `orl tune`: a declared set, and what each of its entries means for a training."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from orl.algorithms import ALGORITHMS
from orl.config import Preset, Tree, merge
from orl.errors import UsageError
from orl.runs.budget import BudgetConfig
from orl.runs.calibration import SHARE
from orl.runs.config import FitRunConfig, PolicyRunConfig, resolve_fit, resolve_policy
from orl.runs.ope_config import OpeConfig
from orl.runs.penalty import CALIBRATED, penalty_settings

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class CandidateConfig:
    """One `[[candidate]]`.

    Attributes:
        name: of its folder and its line in the table. algo: a key of ALGORITHMS.
        steps: gradient updates, if the budget holds them. seed: of the policy.
        history: earlier observations and actions it sees; None: the shared ones.
        penalty: lambda of a pessimistic reward, a number or "calibrated" on held-out data; None: the algorithm's own.
        share: of held-out rows that a calibrated penalty covers.
        init: name of a bc candidate further up whose actor it starts from.
        set: further settings, as `--set` takes them: {agent = {...}, train = {...}}.
    """

    name: str
    algo: str
    steps: Positive = 20_000
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    history: Count | None = None
    penalty: Annotated[float, Field(ge=0)] | Literal["calibrated"] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] = SHARE
    init: str | None = None
    set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SharedConfig:
    """`[shared]`: what all candidates have in common.

    Attributes:
        model, model_seed: of the one ensemble. history: earlier observations and actions, for the ensemble and every
            candidate; "auto" takes what the audit of the log advises.
        agent: settings for every candidate whose algorithm has them. train: of every training.
    """

    model: dict[str, Any] = field(default_factory=dict)
    model_seed: Count = 0
    history: Count | Literal["auto"] = "auto"
    agent: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CandidateSet:
    """A whole file; `ope` is how the candidates are judged, as `orl select` takes it."""

    candidate: tuple[CandidateConfig, ...]
    shared: SharedConfig = field(default_factory=SharedConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    ope: OpeConfig = field(default_factory=OpeConfig)

    @property
    def needs_model(self) -> bool:
        """Whether any candidate rolls out in the ensemble."""
        return any(ALGORITHMS[each.algo].needs_model for each in self.candidate)


def resolve_model(
    dataset: str, candidates: CandidateSet, history: int, max_epochs: int | None = None
) -> tuple[FitRunConfig, list[Preset]]:
    """The settings of the shared ensemble's fit, for at most `max_epochs` if given, and the presets in them."""
    shared = candidates.shared
    model = shared.model if max_epochs is None else shared.model | {"max_epochs": max_epochs}
    return resolve_fit(dataset, {"model": model, "seed": shared.model_seed, **_stacked(history)})


def resolve_candidate(
    dataset: str, candidates: CandidateSet, candidate: CandidateConfig, history: int, steps: int | None = None
) -> tuple[PolicyRunConfig, list[Preset]]:
    """The settings of a candidate's training for `steps` updates (None: as many as it wants), and the presets in them.

    A calibrated penalty is not in them yet (`penalty_share`), nor where the actor begins.

    Lowest first: defaults, presets, `[shared]`, `set`, then what the entry states by a key of its own.

    Raises:
        UsageError: naming the candidate and the key.
    """
    shared = candidates.shared
    known = {each.name for each in fields(ALGORITHMS[candidate.algo].config)}
    values: Tree = {"agent": {key: value for key, value in shared.agent.items() if key in known}}
    values = merge(values | {"model": shared.model, "model_seed": shared.model_seed}, {"train": shared.train})
    values = merge(values, candidate.set)
    own = {"seeds": [candidate.seed], "train": {"steps": steps or candidate.steps}}
    try:
        penalty = None if candidate.penalty is None else str(candidate.penalty)
        values, _ = penalty_settings(candidate.algo, values, penalty, penalty_share(candidate))
        depth = _depth(candidates, candidate, history)
        return resolve_policy(dataset, candidate.algo, merge(values, own | _stacked(depth)))
    except UsageError as error:
        raise UsageError(f"candidate {candidate.name}: {error}") from None


def penalty_share(candidate: CandidateConfig) -> float | None:
    """The share of held-out rows that its penalty is calibrated to cover, None where it is not calibrated."""
    return candidate.share if candidate.penalty == CALIBRATED else None


def _depth(candidates: CandidateSet, candidate: CandidateConfig, shared: int) -> int:
    """The history of a candidate where the shared one is `shared`."""
    depth = shared if candidate.history is None else candidate.history
    if depth != shared and ALGORITHMS[candidate.algo].needs_model:
        raise UsageError(
            f"history = {depth}: {candidate.algo} rolls out in the shared ensemble, whose history is {shared}"
        )
    for other in candidates.candidate:
        theirs = shared if other.history is None else other.history
        if other.name == candidate.init and theirs != depth:
            raise UsageError(f"init = {candidate.init!r}: its actor sees a history of {theirs}, this one of {depth}")
    return depth


def with_shared_history(candidates: CandidateSet, history: int) -> CandidateSet:
    """The same set with this shared history."""
    return replace(candidates, shared=replace(candidates.shared, history=history))


def _stacked(history: int) -> Tree:
    return {"history": history}
