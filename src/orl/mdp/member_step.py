"""A model step in which every row stays on one elite: trajectories of a single member, for planners."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.mdp.step import predict_measured, step_by, termination_fn
from orl.types import Array, Step, StepFn


def make_member_step(
    ensemble: Ensemble, termination: str, uncertainty: str | None = None, units: str = "raw", sample: bool = True
) -> StepFn:
    """The model step whose row i always goes through elite number i mod elites.

    Whoever keeps the order of the rows from step to step gets trajectories that each follow one member for their
    whole length, as in MBOP (arXiv:2008.05556), where a member is a head. Departs: MBOP's heads are deterministic,
    which is `sample=False`.

    Args:
        ensemble: the fitted ensemble's shape.
        termination: "learned", "never" or a rule's name.
        uncertainty: key of UNCERTAINTIES to report, at the cost of every member's prediction for every row;
            None reports zeros and sends each row through its own elite only.
        units: "raw", or "standardised" (training spread of next_obs and reward, per dimension) for the uncertainty.
        sample: whether next_obs and reward are drawn from the member's Gaussian; if not they are its mean and the
            step's key has no effect.
    """
    terminated_by = termination_fn(ensemble, termination)

    def step(params: EnsembleParams, key: Array, obs: Array, action: Array) -> Step:
        if uncertainty is None:
            mean, std = predict_in_turn(ensemble, params, obs, action)
            unsure = jnp.zeros(obs.shape[0])
        else:
            turn = jnp.arange(obs.shape[0]) % ensemble.config.elites
            mean, std, unsure = predict_measured(ensemble, params, obs, action, turn, uncertainty, units)
        output = mean + std * jax.random.normal(key, mean.shape) if sample else mean
        return step_by(terminated_by, params, obs, action, output, unsure)

    return step


def predict_in_turn(ensemble: Ensemble, params: EnsembleParams, obs: Array, action: Array) -> tuple[Array, Array]:
    """(mean, std) [B, O+1] in raw units by elite number i mod elites for row i, at the cost of one network per row.

    Rows are dealt out like cards; surplus seats of the last round are filled with zeros and dropped.
    """
    rows, elites = obs.shape[0], ensemble.config.elites
    rounds = -(-rows // elites)
    x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
    x = jnp.pad(x, ((0, rounds * elites - rows), (0, 0)))
    dealt = x.reshape(rounds, elites, -1).swapaxes(0, 1)  # [elites, rounds, W+A]
    net = jax.tree.map(lambda leaf: leaf[params.elites], params.net)
    mean, log_var = (
        out.swapaxes(0, 1).reshape(rounds * elites, -1)[:rows] for out in ensemble.head(params, net, dealt)
    )
    return params.targets.invert(mean), jnp.exp(0.5 * log_var) * params.targets.std
