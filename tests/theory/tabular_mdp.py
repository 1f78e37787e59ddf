"""Tabular MDPs with exact solutions in NumPy, and the same MDPs as a `StepFn` for our wrappers to work on."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from orl.types import Array, Params, Step, StepFn


class Tables(NamedTuple):
    """A model by its tables: transition [S, A, S]; reward, uncertainty and ends (0 or 1) [S, A]."""

    transition: np.ndarray
    reward: np.ndarray
    uncertainty: np.ndarray
    ends: np.ndarray


def tables(transition: np.ndarray, reward: np.ndarray, uncertainty: np.ndarray | float = 0.0) -> Tables:
    """A model that never ends by itself."""
    return Tables(transition, reward, np.broadcast_to(uncertainty, reward.shape), np.zeros(reward.shape))


def random_transition(rng: np.random.Generator, states: int, actions: int) -> np.ndarray:
    """[S, A, S] Dirichlet rows."""
    return rng.dirichlet(np.ones(states), size=(states, actions))


def random_policy(rng: np.random.Generator, states: int, actions: int) -> np.ndarray:
    """[S, A] Dirichlet rows."""
    return rng.dirichlet(np.ones(actions), size=states)


def deterministic_policies(states: int, actions: int) -> list[np.ndarray]:
    """All A^S of them, each [S, A]."""
    return [np.eye(actions)[list(choice)] for choice in itertools.product(range(actions), repeat=states)]


def value(model: Tables, policy: np.ndarray, discount: float) -> np.ndarray:
    """V [S] of the policy: V = r_pi + discount * P_pi V, where nothing follows an end."""
    reward = np.sum(policy * model.reward, axis=1)
    onward = np.einsum("sa,sa,sat->st", policy, 1 - model.ends, model.transition)
    return np.linalg.solve(np.eye(len(reward)) - discount * onward, reward)


def occupancy(model: Tables, policy: np.ndarray, discount: float, start: np.ndarray) -> np.ndarray:
    """rho [S, A] = sum_t discount^t Pr(s_t, a_t), which sums to 1 / (1 - discount) if nothing ends."""
    onward = np.einsum("sa,sa,sat->st", policy, 1 - model.ends, model.transition)
    visits = np.linalg.solve(np.eye(len(start)) - discount * onward.T, start)
    return visits[:, None] * policy


def one_hot(index: np.ndarray | Array, size: int) -> Array:
    """[..., size]."""
    return jax.nn.one_hot(index, size)


def tabular_step(params: Tables, key: Array, obs: Array, action: Array) -> Step:
    """The tables as a model of one-hot observations and actions."""
    s, a = jnp.argmax(obs, axis=-1), jnp.argmax(action, axis=-1)
    model = jax.tree.map(jnp.asarray, params)
    after = jax.random.categorical(key, jnp.log(model.transition[s, a]))
    return Step(one_hot(after, obs.shape[-1]), model.reward[s, a], model.ends[s, a] > 0, model.uncertainty[s, a])


def tabular_act(params: Params, key: Array | None, obs: Array) -> Array:
    """A tabular policy [S, A] on one-hot observations; it needs a key."""
    logits = jnp.log(jnp.asarray(params))[jnp.argmax(obs, axis=-1)]
    return one_hot(jax.random.categorical(key, logits), logits.shape[-1])  # type: ignore[arg-type]


def read(step: StepFn, params: Params, model: Tables) -> Tables:
    """The tables of a wrapped model: what `step` says of every (s, a), over the transitions of `model`."""
    states, actions = model.reward.shape
    s, a = (x.ravel() for x in np.meshgrid(np.arange(states), np.arange(actions), indexing="ij"))
    out = step(params, jax.random.key(0), one_hot(s, states), one_hot(a, actions))
    shaped = [np.asarray(x, np.float64).reshape(states, actions) for x in (out.reward, out.uncertainty, out.terminated)]
    return Tables(model.transition, *shaped)
