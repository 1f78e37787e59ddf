"""MOPO's pessimism: the model's reward less a multiple of its uncertainty."""

from __future__ import annotations

from orl.types import Array, Params, Step, StepFn


def penalise(step: StepFn, coef: float) -> StepFn:
    """The same model with reward r - coef * u(s, a), in reward units per step.

    Only model transitions pass through here; logged transitions are never penalised.

    Reference: MOPO, arXiv:2005.13239 (the uncertainty-penalised MDP).
    """

    def penalised(params: Params, key: Array, obs: Array, action: Array) -> Step:
        out = step(params, key, obs, action)
        return out._replace(reward=out.reward - coef * out.uncertainty)

    return penalised
