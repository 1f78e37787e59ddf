"""A trained policy as an object: observations in, actions in the environment's units out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.algorithms import ALGORITHMS
from orl.algorithms.base import Algorithm, Problem
from orl.data.acting_history import ActingHistory
from orl.data.border import observation_rows, to_env_action
from orl.data.normalise import identity_normaliser
from orl.errors import UsageError
from orl.runs.checkpoints import read_latest
from orl.runs.config import PolicyRunConfig, policy_config
from orl.runs.directory import RunDirectory, load_run, settings_of
from orl.types import ActFn, Params, Spec

KIND = "policy"


class Policy:
    """A policy ready to act, needing neither its dataset nor an environment.

    Calling it with one observation [O] gives one action [A]; with a batch [B, O], a batch [B, A]. Actions are in the
    environment's units and inside its bounds. The policy is deterministic. Trained with a history it remembers, in
    each row of the batch, what it saw and did: each call is one step further in every episode, and `reset` begins new
    ones, as does a batch of another size. Without a history it remembers nothing. Planners have the same methods.
    """

    def __init__(self, act: ActFn, params: Params, spec: Spec) -> None:
        self.spec = spec
        self._params = params
        self._past = ActingHistory(spec)
        low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)

        def mode(params: Params, obs: jax.Array) -> jax.Array:
            return jnp.clip(to_env_action(act(params, None, obs), low, high), low, high)

        self._act: Callable[[Params, jax.Array], jax.Array] = jax.jit(mode)

    def __call__(self, obs: ArrayLike, reward: ArrayLike | None = None) -> NDArray[np.float32]:
        """Action for `obs`; `reward` (of the previous step) is part of the signature but not used by a policy.

        Raises:
            DataError: the observation's size is not the one the policy was trained on.
        """
        batch, single = observation_rows(obs, self.spec.obs_dim, "policy")
        action = np.asarray(self._act(self._params, jnp.asarray(self._past.recall(batch))))
        self._past.remember(action)
        return action[0] if single else action

    def use(self, params: Params) -> None:
        """Act by other parameters of the same shapes, without compiling again, in new episodes."""
        self._params = params
        self.reset()

    def reset(self, rows: Any = None) -> None:
        """Begin new episodes in these rows of the batch; in all of them, when None."""
        self._past.reset(rows)


def load_policy(path: str | Path, *, seed: int | None = None, checkpoint: str = "last") -> Policy:
    """The policy in a run folder, from the folder alone.

    Args:
        seed: which of the run's seeds; the first by default.
        checkpoint: "last", or "best" by the evaluations during training (the same where there were none).

    Raises:
        DataError: not a policy's run folder, or without a checkpoint. UsageError: no such seed or checkpoint.
    """
    run = load_run(Path(path), KIND)
    return policy_of(run, stacked_params(run, checkpoint), seed)


def policy_of(run: RunDirectory, stacked: Params, seed: int | None = None) -> Policy:
    """The policy of one seed from the run's stacked parameters.

    Raises:
        UsageError: the run has no such seed.
    """
    seeds = run.record["seeds"]
    if seed is not None and seed not in seeds:
        raise UsageError(f"{run.path} holds the seeds {seeds}, not {seed}")
    index = 0 if seed is None else seeds.index(seed)
    algorithm, _ = rebuild(run)
    return Policy(algorithm.act, jax.tree.map(lambda x: x[index], stacked), run_spec(run))


def stacked_params(run: RunDirectory, checkpoint: str = "last") -> Params:
    """The acting parameters of every seed, with a leading axis S.

    Raises:
        UsageError: `checkpoint` is neither "last" nor "best". DataError: there is none that is sound.
    """
    if checkpoint not in ("last", "best"):
        raise UsageError(f"checkpoint is 'last' or 'best', not {checkpoint!r}")
    algorithm, config = rebuild(run)
    size = run_spec(run).stacked_dim

    def template() -> Params:  # never computed: sizes that a file states may be anything
        normaliser = identity_normaliser(size)
        one = algorithm.policy(algorithm.init(jax.random.key(0), normaliser))
        many = jax.tree.map(lambda x: jnp.stack([x] * len(config.seeds)), one)
        return {"last": many, "best": many}

    _, items = read_latest(run.checkpoints, policy=jax.eval_shape(template))
    return items["policy"][checkpoint]


def rebuild(run: RunDirectory) -> tuple[Algorithm, PolicyRunConfig]:
    """The algorithm of a run folder, as far as acting needs it (without its model), and its settings."""
    config = settings_of(run.path, policy_config)
    spec = run_spec(run)
    entry = ALGORITHMS[config.algorithm]
    ensemble = None
    if entry.needs_model:
        from orl.dynamics.ensemble import Ensemble

        ensemble = Ensemble(config.model, spec.obs_dim, spec.action_dim, history=spec.history)
    return entry.build(config.agent, Problem(spec.stacked_dim, spec.action_dim, config.train.steps, ensemble)), config


def run_spec(run: RunDirectory) -> Spec:
    """Sizes, bounds and history a run was trained for."""
    data = run.record["dataset"]
    low, high = tuple(data["action_low"]), tuple(data["action_high"])
    return Spec(data["obs_dim"], data["action_dim"], low, high, run.history)
