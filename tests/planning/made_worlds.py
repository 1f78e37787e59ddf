"""Worlds whose every step is known, and histories to plan from in them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from orl.planning.base import History
from orl.planning.shooting import PlannerParams
from orl.types import Array, Step

NOTHING = PlannerParams(None, None, None)


def history(now: object, guess: object) -> History:
    """B episodes at their first step: now [B, O], guess [B, H, A]."""
    now, guess = jnp.asarray(now, jnp.float32), jnp.asarray(guess, jnp.float32)
    b, o, a = now.shape[0], now.shape[1], guess.shape[-1]
    past = jnp.zeros((b, 0, o)), jnp.zeros((b, 0, a)), jnp.zeros((b, 0))
    return History(*past, now, jnp.zeros(b, jnp.int32), guess)


def keys(*numbers: int) -> Array:
    """One key an episode."""
    return jnp.stack([jax.random.key(n) for n in numbers])


def lives(obs: Array) -> Array:
    """[N] nobody ends."""
    return jnp.zeros(obs.shape[0], bool)


def line(model: None, key: Array, obs: Array, action: Array) -> Step:
    """s -> s + a with reward 10 s + a, for ever."""
    s, a = obs[:, 0], action[:, 0]
    return Step((s + a)[:, None], 10 * s + a, lives(obs), jnp.zeros_like(s))


def target(model: float, key: Array, obs: Array, action: Array) -> Step:
    """One choice, of twice the action: reward -q/2 (2a - goal)^2 with q the model's parameter and the goal in obs."""
    miss = 2 * action[:, 0] - obs[:, 0]
    return Step(obs, -0.5 * model * miss**2, lives(obs), jnp.zeros_like(miss))


def slope(model: None, key: Array, obs: Array, action: Array) -> Step:
    """The reward is the action."""
    return Step(obs, action[:, 0], lives(obs), jnp.zeros(obs.shape[0]))


def assert_close(x: object, y: object) -> None:
    """Pytrees equal up to rounding, NaN equal to NaN."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), x, y)
