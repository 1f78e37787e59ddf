"""`orl evaluate --video`: episodes of a policy as a film, beside what the run's own model expects of its actions."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from orl.errors import UsageError
from orl.evaluation.episodes import EnvSpec, make_envs
from orl.runs.directory import RunDirectory, config_tree, load_run
from orl.runs.evaluate import environment_of, obs_fields_of, time_limit
from orl.runs.fit_model import load_model
from orl.runs.policy import KIND, policy_of, run_spec, stacked_params
from orl.runs.reporter import Reporter
from orl.runs.video_backend import choose_backend, draw_quietly
from orl.runs.video_file import check_format, stride, write_video
from orl.runs.video_model import Imagined
from orl.runs.video_picture import SIDE
from orl.runs.video_scene import Beside, Scene
from orl.runs.video_states import state_setter

ANCHOR_EVERY = 25
USUAL_FPS = 30.0  # of an environment that does not say how many of its steps make a second


def record_video(
    path: Path,
    target: Path,
    *,
    episodes: int = 1,
    seed: int = 0,
    anchor_every: int = ANCHOR_EVERY,
    env: EnvSpec | None = None,
    trust_env: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Film episodes of a policy run's first seed, episode i from reset seed `seed` + i as in `evaluate`.

    With a model in the run, and an environment that can be set to a state (`video_states`), what the model expects is
    drawn beside: from the true state every `anchor_every` steps, on its own in between.

    Returns:
        `file`, `frames`, `fps`, `episodes`, `returns`, `model` (whether it is shown), and with it `anchor_every` and
        `error`: root mean square over steps and dimensions in units of the training data's spread; None where the model
        ran away.

    Raises:
        UsageError: no environment, or another ending than .mp4 or .gif. MissingError: nothing here can draw it, or
        write such a file. DataError: not a policy run.
    """
    check_format(target)
    run, reporter = load_run(path, KIND), reporter or Reporter()
    env = env or environment_of(run, trust_env)
    if env is None:
        raise UsageError(f"{run.record['dataset']['name']} names no environment; give one with --env ID")
    shown = drawing(env)
    with ExitStack() as stack:
        scene = open_scene(run, shown, anchor_every, stack, reporter)
        fps = float(scene.env.metadata.get("render_fps") or USUAL_FPS)
        every = stride(target, fps)
        reporter.message(f"filming {episodes} episode{'s' * (episodes != 1)} of {path} in {env.env_id}: {target}")
        frames = write_video(target, scene.film(range(seed, seed + episodes), every), fps / every)
    document = {"file": str(target), "frames": frames, "fps": fps / every, "episodes": episodes}
    document |= {"returns": scene.returns, "model": scene.beside is not None}
    if scene.beside is not None:
        error = float(np.sqrt(np.mean(np.square(scene.errors))))
        document |= {"anchor_every": anchor_every, "error": error if np.isfinite(error) else None}
    return document


def drawing(env: EnvSpec) -> EnvSpec:
    """The same environment, drawing pictures; MuJoCo's by a way that works here, and no larger than they are shown."""
    draw_quietly()
    kwargs = {**env.kwargs, "render_mode": "rgb_array"}
    made_by = gymnasium.registry[env.env_id].entry_point if env.env_id in gymnasium.registry else ""
    package = made_by.split(":")[0] if isinstance(made_by, str) else ""
    if package.startswith(("gymnasium.envs.mujoco", "gymnasium_robotics")):
        choose_backend()
    if package.startswith("gymnasium.envs.mujoco"):
        kwargs |= {"width": SIDE, "height": SIDE}
    code = env.code
    if code is not None:
        recorded = json.loads(code)
        code = json.dumps(recorded | {"kwargs": recorded.get("kwargs", {}) | {"render_mode": "rgb_array"}})
    return replace(env, kwargs=kwargs, code=code)


def open_scene(run: RunDirectory, env: EnvSpec, anchor_every: int, stack: ExitStack, reporter: Reporter) -> Scene:
    """The environment, and where there is a model to show, its twin and the model; `stack` closes them."""
    spec, fields = run_spec(run), obs_fields_of(run)

    def make() -> gymnasium.Env:
        return stack.enter_context(closing(make_envs(env, 1, spec=spec, obs_fields=fields))).envs[0]

    limit = env.max_episode_steps or time_limit(env.env_id)
    scene = Scene(env.env_id, make(), policy_of(run, stacked_params(run)), spec, fields, limit)
    set_state = None if fields else state_setter(scene.env)
    if not (run.path / "model" / "run.json").exists():
        reporter.message(f"note: {config_tree(run.path)['algorithm']} has no model; the environment is shown alone")
    elif set_state is None:
        reporter.message(f"note: {env.env_id} cannot be set to an observation; the environment is shown alone")
    else:
        scene.beside = Beside(make(), set_state, Imagined(load_model(run.path / "model"), anchor_every))
    return scene
