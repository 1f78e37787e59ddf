"""From a fitted ensemble to a `StepFn`: sample one elite per row, add the reward, decide termination."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from orl.chunks import cached_rows, map_chunks
from orl.data.history import shift_history
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.report import elite_mean
from orl.dynamics.termination_rules import rule
from orl.dynamics.uncertainty import UNCERTAINTIES
from orl.types import Array, Step, StepFn

TerminationFn = Callable[[EnsembleParams, Array, Array, Array], Array]


def termination_fn(ensemble: Ensemble, name: str) -> TerminationFn:
    """(params, obs, action, newest next_obs [B, O]) -> bool [B] for "learned", "never" or a known rule's name."""
    if name == "learned":
        return lambda params, obs, action, next_obs: ensemble.termination_logit(params, obs, action, next_obs) > 0.0
    if name == "never":
        return lambda params, obs, action, next_obs: jnp.zeros(next_obs.shape[0], bool)
    known = rule(name)
    return lambda params, obs, action, next_obs: known(next_obs)


def make_step(ensemble: Ensemble, termination: str, uncertainty: str | None = None, units: str = "raw") -> StepFn:
    """The bare model step: next_obs and reward sampled from one elite drawn uniformly for each row.

    Args:
        ensemble: the fitted ensemble's shape.
        termination: "learned", "never" or a rule's name.
        uncertainty: key of UNCERTAINTIES to report, at the cost of every member's prediction for every row;
            None reports zeros and sends each row through one elite only.
        units: "raw", or "standardised" (training spread of next_obs and reward, per dimension) for the uncertainty.
    """
    terminated_by = termination_fn(ensemble, termination)

    def step(params: EnsembleParams, key: Array, obs: Array, action: Array) -> Step:
        member_key, noise_key = jax.random.split(key)
        if uncertainty is None:
            mean, std = ensemble.predict_dealt(params, member_key, obs, action)
            unsure = jnp.zeros(obs.shape[0])
        else:
            drawn = jax.random.randint(member_key, obs.shape[:1], 0, ensemble.config.elites)
            mean, std, unsure = predict_measured(ensemble, params, obs, action, drawn, uncertainty, units)
        sample = mean + std * jax.random.normal(noise_key, mean.shape)
        return step_by(terminated_by, params, obs, action, sample, unsure)

    return step


def predict_measured(
    ensemble: Ensemble, params: EnsembleParams, obs: Array, action: Array, elite: Array, uncertainty: str, units: str
) -> tuple[Array, Array, Array]:
    """(mean, std [B, O+1], uncertainty [B]) of each row: the Gaussian of elite number `elite` [B], u of all members."""

    def measure(rows: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        obs, action, elite = rows
        prediction = ensemble.predict(params, obs, action)
        unsure = UNCERTAINTIES[uncertainty](prediction, uncertainty_scale(params, units))
        member, row = params.elites[elite], jnp.arange(obs.shape[0])
        return prediction.mean[member, row], prediction.std[member, row], unsure

    return map_chunks(measure, (obs, action, elite), cached_rows())


def sample_elites(
    ensemble: Ensemble, params: EnsembleParams, key: Array, obs: Array, action: Array, samples: int
) -> Array:
    """Next observations [B, elites, samples, W] drawn from every elite's Gaussian; the key is consumed."""
    elites = params._replace(net=jax.tree.map(lambda leaf: leaf[params.elites], params.net))
    mean, std = (jnp.moveaxis(x[..., :-1], 0, 1)[:, :, None] for x in ensemble.predict(elites, obs, action))
    shape = (*mean.shape[:2], samples)
    noise = jax.random.normal(key, (*shape, mean.shape[-1]))
    newest = obs[:, None, None, : mean.shape[-1]] + mean + std * noise
    before, taken = (jnp.broadcast_to(x[:, None, None], (*shape, x.shape[-1])) for x in (obs, action))
    return shift_history(before, taken, newest)


def step_by(
    terminated_by: TerminationFn, params: EnsembleParams, obs: Array, action: Array, output: Array, unsure: Array
) -> Step:
    """The step from obs [B, W] whose [newest next_obs - newest obs, reward] is `output` [B, O+1]."""
    newest = obs[:, : output.shape[-1] - 1] + output[:, :-1]
    terminated = terminated_by(params, obs, action, newest)
    return Step(shift_history(obs, action, newest), output[:, -1], terminated, unsure)


def uncertainty_scale(params: EnsembleParams, units: str) -> Array:
    """[O+1] unit of each output: 1 for "raw", the training spread of [next_obs, reward] for "standardised"."""
    return params.outputs.std if units == "standardised" else jnp.ones_like(params.outputs.std)


def mean_step(ensemble: Ensemble) -> StepFn:
    """The elites' mean as a step without chance and ends: what the ensemble expects. The key has no effect."""

    def step(params: EnsembleParams, key: Array, obs: Array, action: Array) -> Step:
        next_obs, reward = elite_mean(ensemble, params, obs, action)
        nothing = jnp.zeros(obs.shape[0])
        return Step(next_obs, reward, nothing > 0, nothing)

    return step
