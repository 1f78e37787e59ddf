"""Known rules for when an episode truly ends, applied to a next observation that a model predicted.

A rule reads raw (not standardised) observations in the layout its environment records: for the MuJoCo robots the
Gymnasium v5 default, which leaves the x position (ant and humanoid: x and y) out, so `obs[0]` is the height. Data
recorded with ``exclude_current_positions_from_observation=False`` do not fit these rules; NeoRL's hopper and walker2d,
which put x first, have their own. The bounds are those of the environments' defaults (``healthy_z_range`` and so on).

Every function here takes next_obs [..., O] and returns bool [...]; UsageError where O is too small for what it reads.
What a rule reads must be a number: NaN there counts as terminated, so that a broken prediction ends its rollout. The
rules that never terminate read nothing.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable

import jax.numpy as jnp

from orl.errors import UsageError
from orl.types import Array

TerminationRule = Callable[[Array], Array]
"""(next_obs [..., O] in the environment's units) -> bool [...]. UsageError if O is too small for what it reads."""


def hopper(next_obs: Array) -> Array:
    """Hopper (Gymnasium Hopper-v2..v5; D4RL): fallen, tilted by 0.2 rad, or out of range. obs = [z, angle, ...].

    Healthy is: all finite, every |obs[1:]| < 100, z > 0.7 m and |angle| < 0.2 rad.
    MBPO's ``abs(obs[1:] < 100)``, copied by many, tests the upper side only; the environment tests both.
    """
    z, angle = _column(next_obs, 0), _column(next_obs, 1)
    # NaN and inf fail the comparisons with 100, so "finite" is left to say only about z, which has no upper bound.
    in_range = jnp.isfinite(z) & jnp.all(jnp.abs(next_obs[..., 1:]) < 100.0, axis=-1)
    return ~(in_range & (z > 0.7) & (jnp.abs(angle) < 0.2))


def walker2d(next_obs: Array) -> Array:
    """Walker2d (Gymnasium Walker2d-v2..v5; D4RL): healthy is 0.8 < z < 2.0 m, |angle| < 1 rad. obs = [z, angle, ...].

    Only these two are read, as in the environment; OfflineRL-Kit's further |obs| < 100 is not the environment's.
    """
    z, angle = _column(next_obs, 0), _column(next_obs, 1)
    return ~((z > 0.8) & (z < 2.0) & (jnp.abs(angle) < 1.0))


def ant(next_obs: Array) -> Array:
    """Ant (Gymnasium Ant-v2..v5; D4RL, not AntMaze): healthy is all finite and 0.2 <= z <= 1.0 m. obs = [z, ...]."""
    z = _column(next_obs, 0)
    return ~(jnp.all(jnp.isfinite(next_obs), axis=-1) & (z >= 0.2) & (z <= 1.0))


def humanoid(next_obs: Array) -> Array:
    """Humanoid (Gymnasium Humanoid-v3..v5, whose bounds are open; v2's are closed): healthy is 1 < z < 2 m."""
    z = _column(next_obs, 0)
    return ~((z > 1.0) & (z < 2.0))


def inverted_pendulum(next_obs: Array) -> Array:
    """InvertedPendulum (Gymnasium v2..v5): not all finite, or |angle| > 0.2 rad. obs = [x, angle, ...]."""
    angle = _column(next_obs, 1)
    return ~(jnp.all(jnp.isfinite(next_obs), axis=-1) & (jnp.abs(angle) <= 0.2))


def inverted_double_pendulum(next_obs: Array) -> Array:
    """InvertedDoublePendulum (Gymnasium v2..v5): tip height y <= 1 m. obs = [x, sin a, sin b, cos a, cos b, ...].

    Both poles are 0.6 m and b is relative to a, so y = 0.6 (cos a + cos(a + b)). The predicted sines and cosines need
    not lie on the unit circle, so each angle is read by arctan2 first.
    """
    sin_a, sin_b, cos_a, cos_b = (_column(next_obs, i) for i in (1, 2, 3, 4))
    a, b = jnp.arctan2(sin_a, cos_a), jnp.arctan2(sin_b, cos_b)
    return ~(0.6 * (jnp.cos(a) + jnp.cos(a + b)) > 1.0)


def cartpole(next_obs: Array) -> Array:
    """CartPole (Gymnasium v0, v1 and continuous variants): |x| > 2.4 m or |angle| > 12°. obs = [x, _, angle, _]."""
    x, angle = _column(next_obs, 0), _column(next_obs, 2)
    return ~((jnp.abs(x) <= 2.4) & (jnp.abs(angle) <= math.radians(12.0)))


def pen(next_obs: Array) -> Array:
    """Adroit pen of D4RL (pen-*-v0, v1): the pen dropped, its height obs[26] < 0.075 m. obs has 45 numbers.

    Gymnasium-Robotics' AdroitHandPen-v1 does not end when the pen drops: use ``never`` for data recorded there.
    """
    return ~(_column(next_obs, 26) >= 0.075)


def neorl_hopper(next_obs: Array) -> Array:
    """NeoRL Hopper: the rule of `hopper` on obs = [x, z, angle, ...]; x has no bound but must be finite."""
    return hopper(next_obs[..., 1:]) | ~jnp.isfinite(next_obs[..., 0])


def neorl_walker2d(next_obs: Array) -> Array:
    """NeoRL Walker2d: the rule of `walker2d` on obs = [x, z, angle, ...]."""
    return walker2d(next_obs[..., 1:])


def never(next_obs: Array) -> Array:
    """Environments that end only by time-out: no observation terminates."""
    return jnp.zeros(jnp.shape(next_obs)[:-1], bool)


RULES: dict[str, TerminationRule] = {
    "hopper": hopper,
    "walker2d": walker2d,
    "halfcheetah": never,  # Gymnasium HalfCheetah-v2..v5
    "ant": ant,
    "humanoid": humanoid,
    "inverted_pendulum": inverted_pendulum,
    "inverted_double_pendulum": inverted_double_pendulum,
    "pendulum": never,  # Gymnasium Pendulum-v1
    "cartpole": cartpole,
    "pen": pen,
    "door": never,  # D4RL Adroit
    "hammer": never,  # D4RL Adroit
    "relocate": never,  # D4RL Adroit
    "maze2d": never,  # D4RL; reaching the goal does not end the episode
    "neorl_hopper": neorl_hopper,
    "neorl_walker2d": neorl_walker2d,
    "never": never,
}
"""Rules by name. AntMaze and Kitchen are left out: where they end depends on a goal or on the tasks done so far."""


def rule(name: str) -> TerminationRule:
    """The rule called `name`, exactly; UsageError with the nearest known names for any other."""
    if name in RULES:
        return RULES[name]
    word = re.sub(r"-v\d+$", "", name).lower().replace("-", "_")
    near = difflib.get_close_matches(word, RULES, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known rules: {', '.join(RULES)}"
    raise UsageError(f"no termination rule is called '{name}'; {hint}")


def _column(obs: Array, index: int) -> Array:
    # JAX would clamp an index beyond the end to the last column and judge by the wrong number.
    if jnp.ndim(obs) == 0 or jnp.shape(obs)[-1] <= index:
        width = jnp.shape(obs)[-1] if jnp.ndim(obs) else 0
        raise UsageError(f"this termination rule reads obs[{index}], but observations have {width} numbers")
    return obs[..., index]
