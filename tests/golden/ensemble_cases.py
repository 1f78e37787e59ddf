"""Golden results of the ensemble: loss and gradient, epochs of the fit, predictions, uncertainties, model steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from digest import mean_gradient, moved
from made_inputs import BATCH, ENSEMBLE, ENSEMBLE_CONFIG, HELD_OUT, LOGGED, OBS, ensemble_params, normals, rows

from orl.dynamics.fit import fit_data, init_fit, make_epoch
from orl.dynamics.loss import bound_penalty, gaussian_nll, termination_loss, weight_decay
from orl.dynamics.uncertainty import UNCERTAINTIES
from orl.mdp.member_step import make_member_step
from orl.mdp.step import make_step
from orl.types import Array, Params

TRAINABLE = ("net", "min_log_var", "max_log_var", "termination")


def loss() -> Any:
    """The terms of the loss of one batch a member, and the gradient of their sum."""
    params, batch = ensemble_params(), rows("batch", BATCH)
    members = ENSEMBLE_CONFIG.members
    inputs, targets = normals("x", members, BATCH, OBS + 2), normals("y", members, BATCH, OBS + 1)

    def total(trainable: dict[str, Params]) -> tuple[Array, Any]:
        moving = params._replace(**trainable)
        mean, log_var = ENSEMBLE.head(moving, moving.net, inputs)
        terms = {
            "nll": gaussian_nll(mean, log_var, targets),
            "decay": weight_decay(moving.net, ENSEMBLE_CONFIG.weight_decay),
            "bounds": bound_penalty(moving.min_log_var, moving.max_log_var, ENSEMBLE_CONFIG.bound_weight),
            "termination": termination_loss(
                ENSEMBLE.termination_logit(moving, batch.obs, batch.action, batch.next_obs), batch.terminated
            ),
        }
        return sum(terms.values(), jnp.zeros(())), terms | {"log_var": log_var}

    trainable = {name: getattr(params, name) for name in TRAINABLE}
    gradient, terms = jax.jit(jax.grad(total, has_aux=True))(trainable)
    return {"terms": terms, "gradient": gradient}


def epoch(*, learned_termination: bool) -> Any:
    """Three updates and the held-out errors."""
    ensemble = replace(ENSEMBLE, learned_termination=learned_termination)
    params = ensemble_params(ensemble)
    train, holdout = fit_data(params, rows("logged", LOGGED)), fit_data(params, rows("held out", HELD_OUT))
    state, metrics, _ = jax.jit(make_epoch(ensemble))(init_fit(ensemble, params), jax.random.key(1), train, holdout)
    before, after = ({name: getattr(p, name) for name in TRAINABLE} for p in (params, state.params))
    return {
        "metrics": metrics,
        "best_error": state.best_error,
        "mean_gradient": mean_gradient(state.opt_state),
        "moved": moved(before, after, ENSEMBLE_CONFIG.learning_rate),
    }


def predictions() -> Any:
    """Everything that is asked of a fitted ensemble; 13 rows, which the elites cannot share evenly."""
    batch, key, scale = rows("asked", 13), jax.random.key(2), jnp.exp(normals("unit", OBS + 1, scale=0.3))
    steps = {
        "sampled": make_step(ENSEMBLE, "learned"),
        "max_std": make_step(ENSEMBLE, "never", "max_std"),
        "max_pairwise": make_step(ENSEMBLE, "never", "max_pairwise", "standardised"),
        "member": make_member_step(ENSEMBLE, "never"),
        "member_mean": make_member_step(ENSEMBLE, "learned", "max_pairwise", sample=False),
    }

    def ask(params: Any) -> Any:
        prediction = ENSEMBLE.predict(params, batch.obs, batch.action)
        return {
            "every": prediction._asdict(),
            "dealt": ENSEMBLE.predict_dealt(params, key, batch.obs, batch.action),
            "uncertainty": {name: measure(prediction, scale) for name, measure in UNCERTAINTIES.items()},
            "termination": ENSEMBLE.termination_logit(params, batch.obs, batch.action, batch.next_obs),
            "step": {name: step(params, key, batch.obs, batch.action)._asdict() for name, step in steps.items()},
        }

    return jax.jit(ask)(ensemble_params())


CASES = {
    "ensemble loss": loss,
    "ensemble epoch": lambda: epoch(learned_termination=False),
    "ensemble epoch with termination": lambda: epoch(learned_termination=True),
    "ensemble predictions": predictions,
}
