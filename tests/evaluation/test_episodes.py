"""Evaluation against an environment whose returns are known, and against a plain loop on Pendulum."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils import seeding

from orl.errors import DataError, DivergedError, MissingError, UsageError
from orl.evaluation.episodes import EnvSpec, make_envs, run_episodes
from orl.types import Spec

LIMIT = 8


class Ramp(gymnasium.Env):
    """Step t pays t plus 100 times the action; the episode ends after 3 to 11 steps, which the reset seed decides."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, bonus: float = 0.0, action_space: gymnasium.Space | None = None):
        self.bonus = bonus
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = action_space or Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.life, self.t = int(self.np_random.integers(3, 12)), 0
        return np.array([self.life, 0.0]), {}

    def step(self, action):
        assert self.t < min(self.life, LIMIT), "stepped after its end"
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.t += 1
        reward = self.t + self.bonus + 100.0 * float(action[0])
        return np.array([self.life, self.t], float), reward, self.t >= self.life, False, {}


class DictRamp(Ramp):
    """The same, with its observation split over a dict whose keys sort differently from the order recorded."""

    def __init__(self):
        super().__init__()
        self.observation_space = Dict(
            {"a": Dict({"t": Box(-np.inf, np.inf, (1,))}), "z": Box(-np.inf, np.inf, (1, 2)), "extra": Box(0, 1, (3,))}
        )

    def _split(self, obs):
        return {"a": {"t": obs[1:]}, "z": np.array([[obs[0], 7.0]]), "extra": np.zeros(3)}

    def reset(self, **kwargs):
        obs, info = super().reset(**kwargs)
        return self._split(obs), info

    def step(self, action):
        obs, *rest = super().step(action)
        return self._split(obs), *rest


@pytest.fixture(autouse=True, scope="module")
def registered():
    ids = {"OrlTest/Ramp-v0": Ramp, "OrlTest/DictRamp-v0": DictRamp}
    for env_id, entry in ids.items():
        gymnasium.register(env_id, entry_point=entry, max_episode_steps=LIMIT)
    gymnasium.register("OrlTest/Endless-v0", entry_point=Ramp)
    yield
    for env_id in [*ids, "OrlTest/Endless-v0"]:
        del gymnasium.registry[env_id]


class Constant:
    """Returns the same action for each row and remembers what it was given."""

    name = "constant"

    def __init__(self, action, dim=1):
        self.action, self.dim, self.seen, self.rewards, self.resets = action, dim, [], [], 0

    def reset(self, rows=None):
        assert rows is None
        self.resets += 1

    def __call__(self, obs, reward):
        assert obs.dtype == np.float32
        self.seen.append(obs.copy())
        self.rewards.append(None if reward is None else reward.copy())
        obs[:] = np.nan  # a policy may use its input as scratch space
        return np.full((len(obs), self.dim), self.action)


RAMP = EnvSpec("OrlTest/Ramp-v0")
FIELDS = (("z", 2), ("a/t", 1))


def lives(seed, n):
    return np.array([int(seeding.np_random(seed + i)[0].integers(3, 12)) for i in range(n)])


@pytest.mark.parametrize(("episodes", "max_parallel"), [(12, 64), (12, 5), (7, 1), (1, 64)])
def test_returns_lengths_and_ends_are_exact_whatever_the_waves(episodes, max_parallel):
    policy = Constant(0.0)
    got = run_episodes(policy, RAMP, episodes=episodes, seed=40, max_parallel=max_parallel)
    life = lives(40, episodes)
    steps = np.minimum(life, LIMIT)
    np.testing.assert_array_equal(got.lengths, steps)
    np.testing.assert_array_equal(got.returns, steps * (steps + 1) / 2)
    np.testing.assert_array_equal(got.terminated, life <= LIMIT)
    np.testing.assert_array_equal(got.initial_obs, np.stack([life, np.zeros(episodes)], 1))
    assert (got.returns.dtype, got.terminated.dtype, got.initial_obs.dtype) == (np.float64, np.bool_, np.float32)
    assert policy.resets == -(-episodes // max_parallel)
    assert len({obs.shape for obs in policy.seen}) == 1  # one compilation of a jitted policy


def test_the_cases_of_the_test_above_hold_both_kinds_of_end():
    life = lives(40, 12)
    assert (life < LIMIT).any()
    assert (life > LIMIT).any()


def test_actions_and_settings_reach_the_environment():
    env = EnvSpec("OrlTest/Ramp-v0", {"bonus": 1000.0}, max_episode_steps=2)
    got = run_episodes(Constant(-0.5), env, episodes=3, seed=0)
    assert got.returns.tolist() == [2 * 1000.0 + 3.0 - 100.0] * 3
    assert got.lengths.tolist() == [2, 2, 2]
    assert got.terminated.tolist() == [False] * 3


def test_the_policy_sees_the_last_reward_and_finished_rows_stand_still():
    policy = Constant(0.0)
    run_episodes(policy, RAMP, episodes=12, seed=40)
    steps = np.minimum(lives(40, 12), LIMIT)
    assert policy.rewards[0] is None
    for t, (obs, reward) in enumerate(zip(policy.seen[1:], policy.rewards[1:], strict=True), start=1):
        np.testing.assert_array_equal(obs[:, 1], np.minimum(t, steps))
        np.testing.assert_array_equal(reward, np.where(t <= steps, t, 0.0))


def test_progress_counts_every_episode_once():
    calls = []
    run_episodes(Constant(0.0), RAMP, episodes=7, seed=0, max_parallel=3, progress=lambda *call: calls.append(call))
    assert calls == [(i, 7) for i in range(1, 8)]


def test_two_policies_meet_the_same_start_states():
    a, b = (run_episodes(Constant(u), EnvSpec("Pendulum-v1", {}, 3), episodes=5, seed=9) for u in (-2.0, 1.0))
    np.testing.assert_array_equal(a.initial_obs, b.initial_obs)
    assert len(np.unique(a.initial_obs, axis=0)) == 5
    assert (a.returns != b.returns).all()


def test_pendulum_returns_are_those_of_a_plain_loop():
    got = run_episodes(Constant(0.0), EnvSpec("Pendulum-v1"), episodes=5, seed=11, max_parallel=2)
    for i in range(5):
        env = gymnasium.make("Pendulum-v1")
        obs, _ = env.reset(seed=11 + i)
        np.testing.assert_array_equal(got.initial_obs[i], obs)
        total, truncated = 0.0, False
        while not truncated:
            _, reward, _, truncated, _ = env.step(np.zeros(1, np.float32))
            total += reward
        assert got.returns[i] == pytest.approx(total, rel=1e-12)
    assert got.lengths.tolist() == [200] * 5
    assert not got.terminated.any()


def test_dict_observations_are_flattened_in_the_recorded_order():
    policy = Constant(0.0)
    got = run_episodes(policy, EnvSpec("OrlTest/DictRamp-v0"), episodes=4, seed=2, obs_fields=FIELDS)
    life = lives(2, 4)
    np.testing.assert_array_equal(got.initial_obs, np.stack([life, np.full(4, 7), np.zeros(4)], 1))
    np.testing.assert_array_equal(policy.seen[2], np.stack([life, np.full(4, 7), np.full(4, 2)], 1))


@pytest.mark.parametrize(
    ("env_id", "fields", "message"),
    [
        ("OrlTest/DictRamp-v0", (), "trained on a plain vector"),
        ("OrlTest/Ramp-v0", FIELDS, r"trained on the fields z \[2\], a/t \[1\]"),
        ("OrlTest/DictRamp-v0", (("z", 3),), "DictRamp-v0: observation 'z' has 2 numbers, the dataset has 3"),
        ("OrlTest/DictRamp-v0", (("a/q", 1),), "DictRamp-v0: the observation has no 'a/q'"),
    ],
)
def test_observations_that_do_not_fit_the_recorded_fields_are_refused(env_id, fields, message):
    with pytest.raises(DataError, match=message):
        make_envs(EnvSpec(env_id), 1, obs_fields=fields)


def test_sizes_other_than_the_policys_are_refused_and_the_right_ones_accepted():
    with pytest.raises(DataError, match=r"observations \[2\] and actions \[1\].* trained on \[11\] and \[3\]"):
        run_episodes(Constant(0.0), RAMP, episodes=1, seed=0, spec=Spec(11, 3, (-1.0,) * 3, (1.0,) * 3))
    spec = Spec(3, 1, (-2.0,), (2.0,))
    make_envs(EnvSpec("OrlTest/DictRamp-v0"), 1, spec=spec, obs_fields=FIELDS).close()
    with pytest.raises(DataError, match=r"observations \[2\]"):
        make_envs(RAMP, 1, spec=spec)


def test_discrete_actions_are_refused():
    with pytest.raises(DataError, match="only continuous"):
        make_envs(EnvSpec("OrlTest/Ramp-v0", {"action_space": Discrete(2)}), 1)


def test_actions_beyond_the_bounds_by_rounding_are_clipped():
    got = run_episodes(Constant(2.0 + 1e-6), RAMP, episodes=1, seed=0)
    steps = min(int(lives(0, 1)[0]), LIMIT)
    assert got.returns.tolist() == [steps * (steps + 1) / 2 + 200.0 * steps]


@pytest.mark.parametrize("action", [2.001, -2.001])
def test_actions_beyond_the_bounds_by_more_are_refused(action):
    with pytest.raises(DataError, match=rf"policy constant returned action\[0\] = {action}.*\[-2, 2\]"):
        run_episodes(Constant(action), RAMP, episodes=2, seed=0)


@pytest.mark.parametrize("action", [np.nan, np.inf])
def test_a_policy_that_is_not_finite_is_named(action):
    with pytest.raises(DivergedError, match="policy constant"):
        run_episodes(Constant(action), RAMP, episodes=2, seed=0)


def test_what_a_policy_returns_for_finished_rows_is_ignored():
    class Tired(Constant):
        def __call__(self, obs, reward):
            over = obs[:, 1:] >= np.minimum(obs[:, :1], LIMIT)
            return np.where(over, np.nan, 0.0)

    got = run_episodes(Tired(0.0), RAMP, episodes=12, seed=40)
    np.testing.assert_array_equal(got.lengths, np.minimum(lives(40, 12), LIMIT))


def test_actions_of_a_wrong_shape_are_refused():
    with pytest.raises(DataError, match=r"shape \(2, 3\), but the environment wants \(2, 1\)"):
        run_episodes(Constant(0.0, dim=3), RAMP, episodes=2, seed=0)


def test_an_id_that_names_a_module_is_refused_before_anything_is_imported(tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="can import any module"):
        make_envs(EnvSpec("evil_module:OrlTest/Ramp-v0"), 1)
    with pytest.raises(UsageError, match="can import any module"):
        make_envs(EnvSpec("GymV26Environment-v0", {"env_id": "evil_module:OrlTest/Ramp-v0"}), 1)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (EnvSpec("Pendulun-v1"), "did you mean Pendulum-v1"),
        (EnvSpec("Pendulum"), "knows no environment 'Pendulum'"),
        (EnvSpec("Pendulum-v1", {"wings": 2}), "does not take the settings .*wings"),
        (EnvSpec("Pendulum-v1", {}, 0), "at least 1"),
        (EnvSpec("Pendulum-v1", {}, -1), "at least 1"),
        (EnvSpec("OrlTest/Endless-v0"), "no time limit"),
    ],
)
def test_environments_that_cannot_be_made_are_reported(env, message):
    with pytest.raises(UsageError, match=message):
        make_envs(env, 1)


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"max_parallel": 0}, {"seed": -1}])
def test_counts_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="episodes >= 1"):
        run_episodes(Constant(0.0), RAMP, **({"episodes": 1, "seed": 0} | wrong))


def test_a_time_limit_given_makes_an_endless_environment_usable():
    got = run_episodes(Constant(0.0), EnvSpec("OrlTest/Endless-v0", {}, 3), episodes=2, seed=0)
    assert got.lengths.tolist() == [3, 3]


def test_without_mujoco_the_command_that_installs_it_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    for module in [m for m in sys.modules if m.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingError, match=r"pip install 'orl\[mujoco\]'") as caught:
        make_envs(EnvSpec("Hopper-v5"), 1)
    assert caught.value.exit_code == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_old_mujoco_versions_keep_gymnasiums_own_advice():
    with pytest.raises(MissingError, match=r"Hopper-v2 needs a package.*gymnasium-robotics"):
        make_envs(EnvSpec("Hopper-v2"), 1)
