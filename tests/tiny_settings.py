"""Settings that make every kind of run tiny."""

from __future__ import annotations

from itertools import chain

TINY_MODEL = ["model.hidden=[8]", "model.weight_decay=[0,0]", "model.members=3", "model.elites=2", "model.max_epochs=2"]
TINY_SEQUENCE = ["model.layers=1", "model.heads=2", "model.width=8", "model.bins=8", "model.window=3"]
TINY_SEQUENCE += ["model.epoch_steps=10", "model.steps=20", "model.batch_size=8", "model.chunk=4"]
TINY_BEAM = ["plan.beam=3", "plan.horizon=2", "plan.context=1"]
TINY_AGENT = ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10", "train.eval_episodes=2"]
TINY_ROLLOUT = ["agent.rollout_batch=16", "agent.rollout_length=2", "agent.real_ratio=0.5"]


def settings(*lists: list[str]) -> list[str]:
    """Assignments as `--set` options."""
    return [word for assignment in chain(*lists) for word in ("--set", assignment)]
