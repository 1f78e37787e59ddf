"""Golden results of the sequence models, and plans of the beam, MPPI and CEM.

The gradient planner and the tree search have none: they compile for tens of seconds, and stand on the same decoding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from digest import mean_gradient, moved
from made_inputs import ACTIONS, ENSEMBLE, OBS, ensemble_params, normals, numbers, weights

from orl.mdp.member_step import make_member_step
from orl.planning import PLANNERS
from orl.planning.base import History
from orl.planning.shooting import PlannerParams
from orl.sequence.config import TransformerConfig
from orl.sequence.discretiser import Discretiser
from orl.sequence.fit import init_fit, make_epoch, mean_by_kind, token_losses, token_weights
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import TokenStore, windows
from orl.types import Array, Params

TOKEN_OBS, BINS, WINDOW, ROWS, EPISODES, HORIZON = 2, 8, 3, 60, 2, 3
CONFIG = TransformerConfig(
    layers=2, heads=2, width=16, bins=BINS, window=WINDOW, dropout=0.2, steps=40, epoch_steps=2, batch_size=8, chunk=4
)
SETTINGS = CONFIG.__dict__ | {"warmup_steps": 0}
PLANS: dict[str, dict[str, Any]] = {
    "beam": {"beam": 4, "context": 1},
    "mppi": {"samples": 24},
    "cem": {"samples": 24, "elites": 6, "iterations": 2},
}


def made_model(arch: str) -> tuple[SequenceModel, SequenceParams]:
    """A model of made weights; the reward uses fewer bins than there are."""
    model = SequenceModel(TransformerConfig(**(SETTINGS | {"arch": arch})), TOKEN_OBS, ACTIONS)
    dims = model.layout.dims
    edges = np.sort(numbers("edges", dims, BINS + 1), axis=1)
    centres, counts = 0.5 * (edges[:, 1:] + edges[:, :-1]), np.full(dims, BINS, np.int32)
    counts[model.layout.reward] = BINS - 2
    edges[model.layout.reward, BINS - 1 :] = np.inf
    bins = Discretiser(jnp.asarray(edges), jnp.asarray(centres), jnp.asarray(counts))
    shapes = jax.eval_shape(model.init, jax.random.key(0), bins)
    return model, SequenceParams(weights(shapes.net, arch), bins)


def store(model: SequenceModel, name: str, count: int) -> TokenStore:
    """Random tokens of episodes of ten rows."""
    known = np.asarray(model.config.bins * np.ones(model.layout.dims), int)
    known[model.layout.reward] -= 2
    uniform = 0.5 * (1.0 + np.tanh(numbers(name, count, model.layout.dims)))
    tokens = np.minimum(uniform * known, known - 1).astype(np.uint8)
    every = np.arange(count)
    return TokenStore(
        jnp.asarray(tokens), jnp.asarray(every // 10 * 10 + 9), jnp.asarray(every % 10 < 8), jnp.asarray(every)
    )


def loss(arch: str) -> Any:
    """The weighted loss of a batch with and without dropout, and its gradients."""
    model, params = made_model(arch)
    batch = windows(store(model, "train", ROWS), jnp.asarray([0, 7, 13, 22, 38, 59]), WINDOW)
    weight = token_weights(model.layout, model.config, WINDOW)

    def total(net: Params, key: Array | None) -> tuple[Array, Array]:
        losses, counts = token_losses(model.logits(params._replace(net=net), batch.tokens, key), batch)
        return jnp.mean(jnp.where(counts, losses * weight, 0.0)), mean_by_kind(losses, counts, model.layout)[0]

    def both(net: Params) -> Any:
        slope = jax.value_and_grad(total, has_aux=True)
        return {"plain": slope(net, None), "dropout": slope(net, jax.random.key(6))}

    return jax.jit(both)(params.net)


def epoch() -> Any:
    """Two updates of two chunks each, and the held-out loss."""
    model, params = made_model("gpt")
    train, holdout = store(model, "train", ROWS), store(model, "holdout", 20)
    run = jax.jit(make_epoch(model))
    state, metrics, _ = run(init_fit(model, params), params, jax.random.key(7), train, holdout)
    steps = moved(params.net, state.net, model.config.learning_rate)
    for block in ("blocks_0", "blocks_1"):
        # no loss depends on a bias of the keys: its gradient is rounding, and Adam makes whole steps of that
        bias = steps["params"][block]["qkv"]["bias"].reshape(3, -1)
        steps["params"][block]["qkv"]["bias"] = bias[[0, 2]]
    return {"metrics": metrics, "mean_gradient": mean_gradient(state.opt_state), "moved": steps}


def history(obs_dim: int) -> History:
    """Two episodes, one of them at its first step."""
    past = (normals("past obs", EPISODES, 1, obs_dim), jnp.tanh(normals("past action", EPISODES, 1, ACTIONS)))
    guess = jnp.tanh(normals("guess", EPISODES, HORIZON, ACTIONS))
    now, length = normals("now", EPISODES, obs_dim), jnp.asarray([1, 0], jnp.int32)
    return History(*past, normals("past reward", EPISODES, 1), now, length, guess)


def plan(name: str) -> Any:
    """The plans of two episodes."""
    entry = PLANNERS[name]
    settings = entry.config(**({"horizon": HORIZON} | PLANS[name]))
    params: Params
    if entry.model == "transformer":
        model, params = made_model("gpt")
        made, past = entry.build(settings, model), history(TOKEN_OBS)
    else:
        step = make_member_step(ENSEMBLE, "learned", "max_std")
        made = entry.build(settings, step, lambda w, obs: jnp.tanh(obs @ w), lambda w, obs: obs @ w)
        params = PlannerParams(ensemble_params(), normals("prior", OBS, ACTIONS), normals("value", OBS))
        past = history(OBS)
    found = jax.jit(made)(params, jnp.stack([jax.random.key(8), jax.random.key(9)]), past)
    return {"action": found.action, "value": found.value, "reward": found.trajectory.reward}


CASES = {
    "transformer loss": partial(loss, "gpt"),
    "lstm loss": partial(loss, "lstm"),
    "transformer epoch": epoch,
} | {f"plan of {name}": partial(plan, name) for name in PLANS}
