"""Episodes of a policy in a Gymnasium environment, the same start states for every policy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import ArrayLike, NDArray

from orl.data.fields import Fields, flatten_observation
from orl.errors import DataError, DivergedError, MissingError, UsageError
from orl.types import Spec

MAX_PARALLEL = 64
ACTION_TOLERANCE = 1e-5
# These make another environment by a name among their settings, which may again import a module.
FORWARDING_IDS = ("GymV21Environment-v0", "GymV26Environment-v0")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EnvSpec:
    """Which environment: an id of Gymnasium's registry, its constructor's settings, and its time limit in steps.

    `code` is a recorded spec as JSON, made as it stands, with all that it imports and calls: only for what the user
    trusts (see `recorded_env`). The other entries then say the same.
    """

    env_id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    code: str | None = None


class EpisodePolicy(Protocol):
    """What `run_episodes` evaluates. It may keep state per row, which `reset` clears.

    Calling it: (obs [M, O] float32, reward [M] float32 of the previous step, or None at the first) -> action [M, A] in
    the environment's units. M stays the same within an evaluation; rows whose episode is over keep their last
    observation, have reward 0, and what is returned for them is ignored.
    """

    def __call__(self, obs: NDArray[np.float32], reward: NDArray[np.float32] | None) -> ArrayLike: ...

    def reset(self, rows: NDArray[np.int64] | None = None) -> None:
        """Forget the episodes of these rows; of all rows when None."""


class EpisodeResults(NamedTuple):
    """M whole episodes, in the order of their reset seeds.

    Attributes:
        returns: [M] undiscounted sum of the environment's rewards.
        lengths: [M] steps.
        terminated: [M] whether the episode truly ended, rather than at its time limit.
        initial_obs: [M, O] where each began.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    initial_obs: NDArray[np.float32]


def make_envs(env: EnvSpec, n: int, *, spec: Spec | None = None, obs_fields: Fields = ()) -> SyncVectorEnv:
    """`n` copies of `env`, without autoreset: whoever steps them resets them.

    Only ids in Gymnasium's registry are built. An id with a module ("module:Id") or an entry point stored with a
    dataset would run code of the dataset's author, so neither is followed, unless `env` brings `code`.

    Raises:
        UsageError: the id is unknown or names a module, it refuses `kwargs`, or it has no time limit.
        MissingError: a package that the environment needs is not installed.
        DataError: its observations or actions do not fit `spec` or `obs_fields`.
    """
    if env.code is None:
        _check_id(env)
    limit = env.max_episode_steps
    if limit is not None and limit < 1:
        raise UsageError(f"max_episode_steps must be at least 1, got {limit}")

    def make() -> gymnasium.Env:
        if env.code is not None:
            return _make_trusted(env.code, limit)
        return gymnasium.make(env.env_id, max_episode_steps=limit, disable_env_checker=True, **env.kwargs)

    try:
        envs = SyncVectorEnv([make] * n, autoreset_mode=AutoresetMode.DISABLED)
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        raise MissingError(_missing(env.env_id, error)) from error
    except (TypeError, ValueError, AttributeError, gymnasium.error.Error) as error:
        raise UsageError(f"environment {env.env_id} does not take the settings {env.kwargs}: {error}") from error
    try:
        made = envs.envs[0].spec
        if limit is None and (made is None or made.max_episode_steps is None):
            raise UsageError(f"environment {env.env_id} has no time limit, so an episode may never end; set one")
        check_spaces(env.env_id, envs, spec, obs_fields)
    except Exception:
        envs.close()
        raise
    return envs


def run_episodes(
    policy: EpisodePolicy,
    env: EnvSpec,
    *,
    episodes: int,
    seed: int,
    spec: Spec | None = None,
    obs_fields: Fields = (),
    progress: Progress | None = None,
    max_parallel: int = MAX_PARALLEL,
) -> EpisodeResults:
    """Exactly `episodes` whole episodes of `policy`; episode i starts from the reset seed ``seed + i``.

    Every policy therefore meets the same start states. More than `max_parallel` episodes run in waves of equal
    size. An environment whose episode is over is not stepped again, so nothing of a next one can enter its return.

    Args:
        policy: see `EpisodePolicy`; its ``reset()`` is called before each wave.
        spec: the sizes the policy was trained for, checked against the environment when given.
        obs_fields: a dataset's ``obs_fields``, the order in which nested observations are flattened; () for plain ones.
        progress: called with (episodes finished, episodes) whenever some finish.

    Raises:
        UsageError, MissingError, DataError: as `make_envs`; DataError also for actions of a wrong shape or outside
            the environment's bounds by more than rounding (1e-5, relative above 1).
        DivergedError: the policy returned an action that is not finite.
    """
    if episodes < 1 or max_parallel < 1 or seed < 0:
        raise UsageError(
            f"wants episodes >= 1, max_parallel >= 1 and seed >= 0, got {episodes}, {max_parallel} and {seed}"
        )
    waves = -(-episodes // max_parallel)
    slots = -(-episodes // waves)
    parts: list[EpisodeResults] = []
    with closing(make_envs(env, slots, spec=spec, obs_fields=obs_fields)) as envs:
        for first in range(0, episodes, slots):
            # The last wave may have spare slots; they are reset but never run, so that the policy's batch keeps size.
            wanted = min(slots, episodes - first)

            def report(finished: int, before: int = first) -> None:
                if progress is not None:
                    progress(before + finished, episodes)

            parts.append(_run_wave(policy, envs, wanted, seed + first, obs_fields, report))
    return EpisodeResults(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _run_wave(
    policy: EpisodePolicy,
    envs: SyncVectorEnv,
    wanted: int,
    seed: int,
    obs_fields: Fields,
    report: Callable[[int], None],
) -> EpisodeResults:
    starts = [each.reset(seed=seed + i)[0] for i, each in enumerate(envs.envs)]
    obs = np.stack([flatten_observation(start, obs_fields) for start in starts])
    initial_obs = obs[:wanted].copy()
    returns, lengths = np.zeros(wanted), np.zeros(wanted, np.int64)
    terminated = np.zeros(wanted, bool)
    live = np.arange(envs.num_envs) < wanted
    policy.reset()
    reward: NDArray[np.float32] | None = None
    while live.any():
        action = env_action(policy, policy(obs.copy(), reward), live, envs.single_action_space)
        reward = np.zeros(envs.num_envs, np.float32)
        # SyncVectorEnv.step would step finished environments too (or, without autoreset, refuse), so step them here.
        for i in np.flatnonzero(live):
            next_obs, step_reward, ended, cut, _ = envs.envs[i].step(action[i])
            obs[i] = flatten_observation(next_obs, obs_fields)
            reward[i] = step_reward
            returns[i] += float(step_reward)
            lengths[i] += 1
            if ended or cut:
                terminated[i], live[i] = ended, False
                report(wanted - int(live.sum()))
    return EpisodeResults(returns, lengths, terminated, initial_obs)


def check_spaces(env_id: str, envs: SyncVectorEnv, spec: Spec | None, obs_fields: Fields) -> None:
    """DataError unless observations flatten by `obs_fields` and the sizes are those of `spec` (when given)."""
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    if not isinstance(action_space, Box):
        raise DataError(f"environment {env_id} has actions {action_space}; only continuous (Box) ones can be evaluated")
    if isinstance(obs_space, Box) == bool(obs_fields):
        fields = ", ".join(f"{key} [{size}]" for key, size in obs_fields)
        given = f"the fields {fields}" if obs_fields else "a plain vector"
        raise DataError(f"environment {env_id} has observations {obs_space}, but the policy was trained on {given}")
    try:
        obs_dim = len(flatten_observation(obs_space.sample(), obs_fields))
    except DataError as error:
        raise DataError(f"environment {env_id}: {error}") from error
    there = (obs_dim, int(np.prod(action_space.shape)))
    if spec is not None and there != (spec.obs_dim, spec.action_dim):
        raise DataError(
            f"environment {env_id} has observations [{there[0]}] and actions [{there[1]}], but the policy was "
            f"trained on [{spec.obs_dim}] and [{spec.action_dim}]; check the environment's id and its settings"
        )


def _check_id(env: EnvSpec) -> None:
    if ":" in env.env_id or env.env_id in FORWARDING_IDS:
        raise UsageError(
            f"environment id '{env.env_id}' can import any module, which is refused; "
            "import the package that registers the environment, and give the id alone"
        )
    if env.env_id not in gymnasium.registry:
        near = difflib.get_close_matches(env.env_id, gymnasium.registry, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "is the package that registers it imported?"
        raise UsageError(f"Gymnasium knows no environment '{env.env_id}'; {hint}")


def _make_trusted(code: str, limit: int | None) -> gymnasium.Env:
    """The environment of a recorded spec, by its own entry point and with its wrappers."""
    recorded = {"entry_point": None, "additional_wrappers": [], **json.loads(code)}
    spec = gymnasium.envs.registration.EnvSpec.from_json(json.dumps(recorded))
    if spec.entry_point is not None:
        return gymnasium.make(spec, max_episode_steps=limit, disable_env_checker=True)
    if spec.additional_wrappers:
        raise UsageError(f"the recorded spec of {spec.id} has wrappers but no entry point, so it cannot be made")
    # The id alone: importing the module before its colon registers it.
    return gymnasium.make(spec.id, max_episode_steps=limit, disable_env_checker=True, **spec.kwargs)


def _missing(env_id: str, error: Exception) -> str:
    text = str(error)
    if "mujoco" in text.lower() and "gymnasium-robotics" not in text:
        return f"environment {env_id} needs MuJoCo, which is not installed: pip install 'orl[mujoco]'"
    return f"environment {env_id} needs a package that is not installed: {text}"


def env_action(policy: Any, action: ArrayLike, live: NDArray[np.bool_], space: Any) -> NDArray[Any]:
    """The policy's actions [M, A] as the environment takes them, [M, *space.shape], checked on the live rows [M].

    Raises:
        DataError: of another shape, or outside the environment's bounds. DivergedError: not finite.
    """
    name = getattr(policy, "name", type(policy).__name__)
    rows = np.asarray(action, np.float64)
    want = (len(live), int(np.prod(space.shape)))
    if rows.shape != want:
        raise DataError(f"policy {name} returned actions of shape {rows.shape}, but the environment wants {want}")
    if not np.isfinite(rows[live]).all():
        raise DivergedError(f"policy {name} returned an action that is not finite")
    low, high = (np.asarray(bound, np.float64).reshape(-1) for bound in (space.low, space.high))
    below = rows < low - ACTION_TOLERANCE * np.maximum(1.0, np.abs(low))
    above = rows > high + ACTION_TOLERANCE * np.maximum(1.0, np.abs(high))
    if (wrong := (below | above) & live[:, None]).any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"policy {name} returned action[{column}] = {rows[row, column]:g}, outside the environment's bounds "
            f"[{low[column]:g}, {high[column]:g}]; do the dataset's action bounds differ from the environment's?"
        )
    shaped = rows.reshape(-1, *space.shape).astype(space.dtype)
    return np.clip(shaped, space.low, space.high)
