"""Policies and ensembles of any shape for the writers, and every format as a function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from orl.agents.actor import PolicyParams, init_policy, make_act, make_actor
from orl.agents.config import PolicyConfig
from orl.data.normalise import Normaliser
from orl.deployment.description import describe, detector_of
from orl.deployment.reference import Familiar, make_answer, make_deployed
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.ensemble import Ensemble
from orl.runs.export.formats import FORMATS
from orl.types import ActFn, Spec

Run = Callable[..., dict[str, NDArray]]


class Made(NamedTuple):
    """A policy, and what tells familiar inputs from others, if anything."""

    act: ActFn
    params: PolicyParams
    spec: Spec
    familiar: Familiar | None = None


def made(spec: Spec, *, layer_norm: bool = False, hidden: tuple[int, ...] = (32, 16), members: int = 4) -> Made:
    """Random weights, biases, norms and normalisers; `members` 0 is no model."""
    rng = np.random.default_rng(0)

    def spread(tree: Any) -> Any:
        return jax.tree.map(lambda x: x + 0.2 * jnp.asarray(rng.standard_normal(x.shape), jnp.float32), tree)

    def units(size: int) -> Normaliser:
        return Normaliser(*(jnp.asarray(x, jnp.float32) for x in (rng.normal(size=size), rng.uniform(0.2, 3, size))))

    actor = make_actor(PolicyConfig(hidden=hidden, layer_norm=layer_norm), spec.action_dim)
    policy = init_policy(actor, jax.random.key(0), units(spec.stacked_dim))
    found = Made(make_act(actor), policy._replace(actor=spread(policy.actor)), spec)
    if not members:
        return found
    config = EnsembleConfig(members=members, elites=1, hidden=(16, 8), weight_decay=(0.0,) * 3)
    ensemble = Ensemble(config, spec.obs_dim, spec.action_dim, history=spec.history)
    inputs, targets, outputs = (units(size) for size in (ensemble.in_dim, ensemble.out_dim, ensemble.out_dim))
    model = ensemble.init(jax.random.key(1), inputs, targets, outputs)
    return found._replace(familiar=Familiar(ensemble, model._replace(net=spread(model.net)), 1.5, 4.0))


def written(policy: Made, format: str, folder: Path) -> Run:
    """The policy in this format, written into `folder` and opened again; skipped where its packages are missing."""
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    familiar, detector = policy.familiar, None
    if familiar is not None:
        detector = detector_of(familiar.params, policy.spec.obs_dim, familiar.factor, familiar.threshold)
    description = describe(policy.params, policy.spec, detector)
    deployed = make_deployed(make_answer(policy.act, policy.params, policy.spec, familiar), policy.spec)
    FORMATS[format].write(folder, description, deployed, "0")
    return FORMATS[format].read(folder).run
