"""Golden results of the algorithms: an epoch of each, one update of the soft actor-critic, the conservative term."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from digest import mean_gradient, moved
from made_inputs import ACTIONS, BATCH, ENSEMBLE, LOGGED, OBS, ensemble_params, normaliser, normals, rows, weights

from orl.agents.actor import make_actor, make_sample
from orl.agents.conservative import conservative_gap
from orl.agents.critic import soft_td_target, td_loss
from orl.agents.regularisers import conservative_regulariser
from orl.agents.sac import critic_values, join
from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.algorithms.combo import ComboConfig
from orl.algorithms.epoch import Schedule, TrainData, TrainState, make_epoch
from orl.config import build
from orl.data.buffer import empty_ring
from orl.types import Array, Batch, Params

UPDATES, BRANCHES, LENGTH = 3, 6, 2
SIZES = {"hidden": (16, 16), "batch_size": BATCH, "real_ratio": 0.5, "actions_per_source": 3}
ALGORITHM_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bc": ("bc", {}),
    "cql": ("cql", {}),
    "mbpo": ("mbpo", {}),
    "mopo": ("mopo", {"penalty_coef": 0.7}),
    "morel": ("morel", {"threshold_beta": 0.5, "halt_value": "kappa", "discount": 0.9}),
    "combo": ("combo", {"temperature": 0.8}),
    "combo learned weight": ("combo", {"lagrange_threshold": 0.5, "rho": "model", "deterministic_backup": False}),
    "combo four critics": ("combo", {"critics": 4, "layer_norm": True, "rollout_policy": "uniform"}),
}


def settings_of(name: str, **changes: Any) -> Any:
    """An algorithm's settings with tiny networks; settings it does not have are left out."""
    config = ALGORITHMS[name].config
    return build(config, {key: x for key, x in SIZES.items() if key in config.__dataclass_fields__} | changes)


def start_of(algorithm: Algorithm) -> Any:
    """A state of made weights before the first update; the target critic is another than the critic."""
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), normaliser("obs", OBS))
    state = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)
    policy = state.policy._replace(actor=weights(shapes.policy.actor, "actor"), normaliser=normaliser("obs", OBS))
    state = state._replace(policy=policy)
    if "critic" not in state._fields:
        return state
    state = state._replace(
        critic=weights(shapes.critic, "critic"),
        target_critic=weights(shapes.target_critic, "target_critic"),
        log_alpha=jnp.asarray(-0.4),
    )
    if state.regulariser != ():
        state = state._replace(regulariser=(jnp.asarray(0.3), state.regulariser[1]))
    return state


def learned(config: Any, before: Any, after: Any) -> Any:
    """Gradients and steps of every learned part."""
    gradients = {"actor": mean_gradient(after.actor_opt)}
    steps = {"actor": moved(before.policy.actor, after.policy.actor, config.actor_learning_rate)}
    if "critic" in after._fields:
        gradients |= {"critic": mean_gradient(after.critic_opt), "alpha": mean_gradient(after.alpha_opt)}
        for name in ("critic", "target_critic", "log_alpha"):
            rate = config.alpha_learning_rate if name == "log_alpha" else config.critic_learning_rate
            steps[name] = moved(getattr(before, name), getattr(after, name), rate)
        if after.regulariser != ():
            gradients["weight"] = mean_gradient(after.regulariser[1])
            steps["weight"] = moved(before.regulariser[0], after.regulariser[0], config.lagrange_learning_rate)
    return {"mean_gradient": gradients, "moved": steps}


def epoch(name: str, changes: dict[str, Any]) -> Any:
    """A rollout, where there is one, and three updates."""
    config = settings_of(name, **changes)
    algorithm = ALGORITHMS[name].build(config, Problem(OBS, ACTIONS, 1000, ENSEMBLE, "learned"))
    logged, before, ring, world = rows("logged", LOGGED), start_of(algorithm), (), ()
    schedule = Schedule(UPDATES)
    if algorithm.step is not None:
        schedule = Schedule(UPDATES, BRANCHES, LENGTH)
        ring, world = empty_ring(BRANCHES * LENGTH, OBS, ACTIONS), jax.jit(algorithm.world)(ensemble_params(), logged)
    run = jax.jit(make_epoch(algorithm, schedule))
    after, metrics, _ = run(TrainState(before, ring), jax.random.key(3), TrainData(logged, logged.obs, world))
    return {"metrics": metrics} | learned(config, before, after.agent)


def first_update() -> Any:
    """One update of the soft actor-critic on a batch that is given."""
    config = settings_of("mbpo")
    algorithm = ALGORITHMS["mbpo"].build(config, Problem(OBS, ACTIONS, 1000, ENSEMBLE))
    before, batch = start_of(algorithm), Batch(rows("real", BATCH // 2), rows("model", BATCH // 2))
    after, metrics = jax.jit(algorithm.update)(jax.random.key(4), before, batch, ())
    return {"metrics": metrics} | learned(config, before, after)


def conservative_term() -> Any:
    """COMBO's extra term of the critic's loss, and its gradient."""
    config: ComboConfig = settings_of("combo", temperature=0.8)
    algorithm = ALGORITHMS["combo"].build(config, Problem(OBS, ACTIONS, 1000, ENSEMBLE))
    state, batch = start_of(algorithm), Batch(rows("real", BATCH // 2), rows("model", BATCH // 2))
    term = conservative_regulariser(
        config,
        critic_values(config),
        make_sample(make_actor(config, ACTIONS)),
        ACTIONS,
        lambda batch: (join(batch).obs, join(batch).next_obs),
    )

    def loss(critic: Params) -> tuple[Array, Params]:
        return term.loss(jax.random.key(5), state, critic, batch)

    (value, gap), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(state.critic)
    return {"loss": value, "gap": gap, "gradient": gradient}


def critic_losses() -> Any:
    """The critic's losses of values that are given, so of no draw: they hold if a rewrite draws other numbers."""
    batch, density = rows("batch", BATCH), normals("density", BATCH, 9)

    def losses(q: dict[str, Array]) -> tuple[Array, Any]:
        target = soft_td_target(
            batch.reward, batch.terminated, q["next"], normals("log_prob", BATCH), discount=0.9, alpha=0.3
        )
        gap = conservative_gap(q["sampled"], density, q["logged"], 0.7)
        td = td_loss(q["logged"], target)
        return td + jnp.sum(gap), {"target": target, "td": td, "gap": gap}

    q = {"sampled": normals("sampled", 2, BATCH, 9), "logged": normals("logged", 2, BATCH)}
    gradient, values = jax.jit(jax.grad(losses, has_aux=True))(q | {"next": normals("next", 2, BATCH)})
    return {"values": values, "gradient": gradient}


CASES = {
    "critic losses": critic_losses,
    "conservative term": conservative_term,
    "first update": first_update,
} | {f"epoch of {case}": partial(epoch, name, changes) for case, (name, changes) in ALGORITHM_CASES.items()}
