"""The ensemble that belongs to a dataset before it is fitted: its shape, its termination rule, its first parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from orl.data.episodes import Dataset
from orl.data.history import newest_of
from orl.data.normalise import Normaliser, fit_normaliser, identity_normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble, EnsembleParams
from orl.dynamics.fit import targets_of
from orl.dynamics.termination_rules import rule
from orl.types import Transition


def resolve_termination(config: EnsembleConfig, dataset: Dataset) -> str:
    """The rule to use: "auto" means a learned head where the data has true ends, else never."""
    if config.termination == "auto":
        return "learned" if dataset.terminated.any() else "never"
    if config.termination not in ("learned", "never"):
        rule(config.termination)  # an unknown name is the user's error, best raised before anything is written
    return config.termination


def ensemble_for(config: EnsembleConfig, dataset: Dataset) -> tuple[Ensemble, str]:
    """The shape of the ensemble that is fitted to a dataset with its history, and its termination rule."""
    termination, spec = resolve_termination(config, dataset), dataset.spec
    return Ensemble(config, spec.obs_dim, spec.action_dim, termination == "learned", spec.history), termination


def params_template(ensemble: Ensemble) -> EnsembleParams:
    """The shapes of an ensemble's parameters."""
    return jax.eval_shape(lambda: fresh_params(ensemble, jax.random.key(0), None))


def fresh_params(ensemble: Ensemble, key: jax.Array, train: Transition | None) -> EnsembleParams:
    """Parameters before the fit; without rows (only the shapes are wanted) the normalisers are the identity."""
    inputs = identity_normaliser(ensemble.in_dim)
    targets = outputs = identity_normaliser(ensemble.out_dim)
    if train is not None:
        inputs = _side_by_side(fit_normaliser(train.obs), fit_normaliser(train.action))
        newest = newest_of(train, ensemble.obs_dim)
        outputs = _side_by_side(fit_normaliser(newest.next_obs), fit_normaliser(train.reward[:, None]))
        if ensemble.config.standardise_targets:
            targets = fit_normaliser(targets_of(newest))
    return ensemble.init(key, inputs, targets, outputs)


def _side_by_side(*parts: Normaliser) -> Normaliser:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
