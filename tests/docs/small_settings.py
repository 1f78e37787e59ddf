"""What is added to the commands of the pages so that each takes a moment: the words as printed, and smaller sizes."""

from __future__ import annotations

from pathlib import Path

from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, TINY_SEQUENCE, settings

from orl.algorithms import ALGORITHMS
from orl.planning import PLANNERS

SMALL_JUDGE = ["ope.fqe.hidden=[8]", "ope.fqe.updates=20", "ope.fqe.members=2", "ope.behaviour.hidden=[8]"]
SMALL_JUDGE += ["ope.behaviour.updates=20", "ope.behaviour.checks=2", "ope.model_starts=3", "ope.model_horizon=5"]
SMALL_SEQUENCE = [*TINY_SEQUENCE, "model.value=returns", "model.timeouts=ignore"]  # no value has to be fitted for these
SMALL_PLANS = {
    "beam": ["plan.beam=3", "plan.horizon=2", "plan.context=1"],
    "mcts": ["plan.simulations=3", "plan.actions=2", "plan.horizon=2", "plan.context=1"],
    "gradient": ["plan.beam=3", "plan.horizon=2", "plan.context=1", "plan.iterations=2"],
    "mppi": ["plan.samples=4", "plan.horizon=2"],
    "cem": ["plan.samples=4", "plan.elites=2", "plan.iterations=2", "plan.horizon=2"],
}
CANDIDATES = Path(__file__).parent / "small_candidates.toml"


def smaller(words: list[str]) -> list[str]:
    """Further words for `orl` words..., later ones winning over earlier ones; none for quick commands."""
    command = words[0]
    if "--help" in words or "--dry-run" in words:
        return []
    if command == "fit-model":
        return settings(SMALL_SEQUENCE if "transformer" in words else TINY_MODEL)
    if command == "train-policy":
        entry = ALGORITHMS[option(words, ("--algo", "-a"), "mopo")]
        model = [TINY_MODEL, TINY_ROLLOUT] if entry.needs_model else []
        return ["--steps", "20", *settings(TINY_AGENT, *model)]
    if command == "plan":
        planner = option(words, ("--planner", "-p"), "beam")
        model = SMALL_SEQUENCE if PLANNERS[planner].model == "transformer" else TINY_MODEL
        return ["--episodes", "1", "--no-bc", *settings(model, SMALL_PLANS[planner])]
    return {
        "evaluate": ["--episodes", "2", "--no-bc"],
        "predict": ["--steps", "5", "--starts", "2", "--draws", "2"],
        "diagnose": ["--steps", "5"],
        "ope": settings(SMALL_JUDGE),
        "select": settings(SMALL_JUDGE),
        "tune": ["--budget", "30s", "--candidates", str(CANDIDATES)],
    }.get(command, [])


def option(words: list[str], names: tuple[str, ...], otherwise: str) -> str:
    """The value given for an option."""
    return next((words[n + 1] for n, word in enumerate(words[:-1]) if word in names), otherwise)
