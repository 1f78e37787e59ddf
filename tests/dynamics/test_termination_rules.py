"""Each rule just inside and just outside each of its bounds, in float32, and against the simulators themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl.dynamics.termination_rules import RULES, rule
from orl.errors import UsageError

DIMS = {
    "hopper": 11, "walker2d": 17, "halfcheetah": 17, "ant": 105, "humanoid": 348, "inverted_pendulum": 4,
    "inverted_double_pendulum": 9, "pendulum": 3, "cartpole": 4, "pen": 45, "door": 39, "hammer": 46, "relocate": 39,
    "maze2d": 4, "neorl_hopper": 12, "neorl_walker2d": 18, "never": 2,
}  # fmt: skip
# A healthy value where 0 is not one.
HEALTHY = {
    "hopper": {0: 1.25}, "walker2d": {0: 1.25}, "ant": {0: 0.75}, "humanoid": {0: 1.4}, "pen": {26: 0.2},
    "inverted_double_pendulum": {3: 1.0, 4: 1.0}, "neorl_hopper": {1: 1.25}, "neorl_walker2d": {1: 1.25},
}  # fmt: skip
NEVER = {"halfcheetah", "pendulum", "door", "hammer", "relocate", "maze2d", "never"}


def observation(name, **at):
    obs = np.zeros(DIMS[name], np.float32)
    for index, value in (HEALTHY.get(name, {}) | {int(k[1:]): v for k, v in at.items()}).items():
        obs[index] = value
    return obs


def ends(name, **at):
    return bool(RULES[name](jnp.asarray(observation(name, **at))))


# name, column, a value that goes on, a value that terminates
BOUNDS = [
    ("hopper", 0, 0.701, 0.699),
    ("hopper", 0, 1e6, np.inf),
    ("hopper", 1, 0.199, 0.201),
    ("hopper", 1, -0.199, -0.201),
    ("hopper", 10, 99.9, 100.1),
    ("hopper", 10, -99.9, -100.1),
    ("hopper", 2, -99.9, -100.1),
    ("hopper", 5, 0.0, np.nan),
    ("hopper", 0, 0.71, np.nan),
    ("walker2d", 0, 0.801, 0.799),
    ("walker2d", 0, 1.999, 2.001),
    ("walker2d", 1, 0.999, 1.001),
    ("walker2d", 1, -0.999, -1.001),
    ("walker2d", 0, 1.0, np.nan),
    ("ant", 0, 0.2, 0.199),
    ("ant", 0, 1.0, 1.001),
    ("ant", 104, 1e6, np.inf),
    ("ant", 50, 0.0, np.nan),
    ("humanoid", 0, 1.001, 1.0),
    ("humanoid", 0, 1.999, 2.0),
    ("humanoid", 0, 1.5, np.nan),
    ("inverted_pendulum", 1, 0.2, 0.2001),
    ("inverted_pendulum", 1, -0.2, -0.2001),
    ("inverted_pendulum", 3, 1e6, np.inf),
    ("inverted_pendulum", 3, 0.0, np.nan),
    ("cartpole", 0, 2.4, 2.4001),
    ("cartpole", 0, -2.4, -2.4001),
    ("cartpole", 2, 0.2094, 0.2095),  # 12 degrees are 0.20944 rad
    ("cartpole", 2, -0.2094, -0.2095),
    ("cartpole", 2, 0.0, np.nan),
    ("pen", 26, 0.0751, 0.0749),
    ("pen", 26, 0.2, np.nan),
    ("neorl_hopper", 1, 0.701, 0.699),
    ("neorl_hopper", 2, -0.199, -0.201),
    ("neorl_hopper", 2, 0.199, 0.201),
    ("neorl_hopper", 11, -99.9, -100.1),
    ("neorl_hopper", 0, 1e6, np.nan),
    ("neorl_walker2d", 1, 0.801, 0.799),
    ("neorl_walker2d", 1, 1.999, 2.001),
    ("neorl_walker2d", 2, 0.999, 1.001),
    ("neorl_walker2d", 2, -0.999, -1.001),
]


@pytest.mark.parametrize(("name", "column", "inside", "outside"), BOUNDS)
def test_each_bound_separates_the_value_inside_from_the_one_outside(name, column, inside, outside):
    assert not ends(name, **{f"c{column}": inside})
    assert ends(name, **{f"c{column}": outside})


@pytest.mark.parametrize(("name", "column", "value"), [("hopper", 0, 150.0), ("walker2d", 8, -500.0), ("pen", 25, -1)])
def test_what_the_environment_does_not_bound_goes_on(name, column, value):
    assert not ends(name, **{f"c{column}": value})


def test_the_exact_bound_of_an_open_interval_terminates():
    edges = [("hopper", 0, 0.7), ("hopper", 1, 0.2), ("hopper", 10, -100.0), ("walker2d", 0, 0.8), ("walker2d", 1, -1)]
    assert all(ends(name, **{f"c{column}": value}) for name, column, value in edges)


def test_the_double_pendulum_ends_where_its_tip_is_at_one_metre():
    def at(a, b, scale=1.0):
        sines = {"c1": np.sin(a), "c2": np.sin(b), "c3": np.cos(a), "c4": np.cos(b)}
        return ends("inverted_double_pendulum", **{k: scale * v for k, v in sines.items()})

    straight = np.arccos(1.0 / 1.2)  # both poles tilted alike: 1.2 cos(a) = 1
    assert not at(straight - 0.001, 0.0)
    assert at(straight + 0.001, 0.0)
    assert not at(-straight + 0.001, 0.0)
    bent = np.arccos(1.0 / 0.6 - 1.0)  # the lower pole upright: 0.6 (1 + cos b) = 1
    assert not at(0.0, -bent + 0.001)
    assert at(0.0, -bent - 0.001)
    assert not at(0.62, -0.62)  # 0.6 (cos 0.62 + 1) = 1.088, against 0.977 were b not relative
    assert not at(straight - 0.001, 0.0, scale=0.5)  # shorter than the unit circle, same angles
    assert at(np.nan, 0.0)


@pytest.mark.parametrize("name", sorted(NEVER))
def test_rules_that_never_terminate(name):
    obs = jnp.stack([jnp.zeros(DIMS[name]), jnp.full(DIMS[name], 1e9), jnp.full(DIMS[name], jnp.nan)])
    assert RULES[name](obs).tolist() == [False] * 3


@pytest.mark.parametrize("name", sorted(RULES))
def test_leading_axes_are_kept_and_jit_agrees(name):
    rows = np.stack([observation(name), np.full(DIMS[name], 1e9), observation(name)]).astype(np.float32)
    got = jax.jit(rule(name))(jnp.asarray(rows)[None])
    assert got.shape == (1, 3)
    assert got.dtype == bool
    assert got[0].tolist() == [False, name not in NEVER | {"pen"}, False]


def test_every_rule_is_tested_at_a_bound_or_never_terminates():
    assert {row[0] for row in BOUNDS} | NEVER | {"inverted_double_pendulum"} == set(RULES) == set(DIMS)


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(UsageError, match=r"'hoper'; did you mean hopper"):
        rule("hoper")
    with pytest.raises(UsageError, match=r"did you mean walker2d"):
        rule("Walker2d-v5")
    with pytest.raises(UsageError, match=r"known rules: hopper, walker2d"):
        rule("zzz")


def test_observations_too_small_for_a_rule_are_refused():
    with pytest.raises(UsageError, match=r"reads obs\[26\], but observations have 11 numbers"):
        rule("pen")(jnp.zeros((2, 11)))


SIMULATED = {
    "hopper": ("Hopper-v5", {}),
    "neorl_hopper": ("Hopper-v5", {"exclude_current_positions_from_observation": False}),
    "walker2d": ("Walker2d-v5", {}),
    "ant": ("Ant-v5", {}),
    "humanoid": ("Humanoid-v5", {}),
    "inverted_pendulum": ("InvertedPendulum-v5", {}),
    "inverted_double_pendulum": ("InvertedDoublePendulum-v5", {}),
    "cartpole": ("CartPole-v1", {}),
}


@pytest.mark.parametrize("name", sorted(SIMULATED))
def test_the_rule_agrees_with_the_simulator_on_every_step(name):
    """Random actions until five true ends. Only an observation within float32 rounding of a bound could differ."""
    gym = pytest.importorskip("gymnasium")
    if name != "cartpole":
        pytest.importorskip("mujoco")
    env_id, kwargs = SIMULATED[name]
    env = gym.make(env_id, disable_env_checker=True, **kwargs)
    env.action_space.seed(0)
    seen, flags = [], []
    env.reset(seed=0)
    while sum(flags) < 5 and len(seen) < 1500:
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append(obs)
        flags.append(terminated)
        if terminated or truncated:
            env.reset(seed=len(seen))
    assert RULES[name](jnp.asarray(np.array(seen), jnp.float32)).tolist() == flags
    assert sum(flags) >= 1
