"""Planners: no policy at all, plan under a model. The table PLANNERS names them; the rest follows from it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from orl.planning.beam import BeamConfig, make_beam
from orl.planning.cem import CemConfig, make_cem
from orl.planning.gradient import GradientConfig, make_gradient
from orl.planning.mcts import MctsConfig, make_mcts
from orl.planning.mppi import MppiConfig, make_mppi


class Entry(NamedTuple):
    """A line of PLANNERS.

    Attributes:
        config: its settings class. build: (settings, SequenceModel) for planners over a transformer, (settings, StepFn,
            prior, value) for those over an ensemble -> PlanFn.
        model: the kind of model it plans under. summary: one line for people.
    """

    config: type[Any]
    build: Any
    model: Literal["transformer", "ensemble"]
    summary: str


PLANNERS: dict[str, Entry] = {
    "beam": Entry(BeamConfig, make_beam, "transformer", "reward beam search under the density model"),
    "mcts": Entry(MctsConfig, make_mcts, "transformer", "Monte Carlo tree search over sampled actions"),
    "gradient": Entry(GradientConfig, make_gradient, "transformer", "actions ascend predicted return and likelihood"),
    "mppi": Entry(MppiConfig, make_mppi, "ensemble", "MBOP: exponentially weighted shooting around the behaviour"),
    "cem": Entry(CemConfig, make_cem, "ensemble", "cross-entropy method over action sequences"),
}
