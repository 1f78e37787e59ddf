"""Episodes of a policy as pictures, beside what a model expected of the same actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orl.data.acting_history import ActingHistory
from orl.data.border import agent_action
from orl.data.fields import Fields, flatten_observation
from orl.documents import brief
from orl.errors import MissingError
from orl.evaluation.episodes import env_action
from orl.runs import video_backend, video_file
from orl.runs.policy import Policy
from orl.runs.video_model import Imagined
from orl.runs.video_picture import Curve, picture
from orl.runs.video_states import SetState
from orl.types import Spec

Floats = NDArray[np.float32]
SPAN = 250  # steps across the curve of errors, until there are more


class Shot(NamedTuple):
    """A step of an episode: `before` [W] with the history, `action` [A] in the environment's units, `after` [O].

    `total` is the return so far; `last` says whether the episode is over.
    """

    step: int
    before: Floats
    action: Floats
    after: Floats
    reward: float
    total: float
    last: bool


class Beside(NamedTuple):
    """A second environment, set to what a model expects."""

    twin: gymnasium.Env
    set_state: SetState
    imagined: Imagined


@dataclass
class Scene:
    """What is filmed, and what was found out meanwhile.

    Attributes:
        limit: steps of an episode at most, where that is known.
        returns: of each episode filmed. errors: of each step, in units of the training data's spread.
    """

    env_id: str
    env: gymnasium.Env
    policy: Policy
    spec: Spec
    fields: Fields
    limit: int | None
    beside: Beside | None = None
    returns: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def film(self, seeds: Iterable[int], every: int) -> Iterator[Image.Image]:
        """Every `every`-th step of an episode from each reset seed, and its last."""
        for seed in seeds:
            begun = len(self.errors)
            if self.beside is not None:
                self.beside.twin.reset(seed=seed)
                self.beside.imagined.begin()
            for shot in self.play(seed):
                shown = shot.last or shot.step % every == 0
                if self.beside is not None:
                    yield from self._beside(self.beside, shot, begun, shown)
                elif shown:
                    yield picture([(self.env_id, drawn(self.env, self.env_id))], [told(shot)])

    def play(self, seed: int) -> Iterator[Shot]:
        """The steps of the policy's episode from a reset seed, as `evaluation.episodes` plays it."""
        past, step, total, over = ActingHistory(self.spec), 0, 0.0, False
        obs = flatten_observation(self.env.reset(seed=seed)[0], self.fields)
        self.policy.reset()
        while not over:
            before = past.recall(obs[None])[0]
            shaped = env_action(self.policy, self.policy(obs[None]), np.ones(1, bool), self.env.action_space)
            action = shaped.reshape(1, -1).astype(np.float32)
            past.remember(action)
            next_obs, reward, ended, cut, _ = self.env.step(shaped[0])
            obs, over = flatten_observation(next_obs, self.fields), ended or cut
            step, total = step + 1, total + float(reward)
            yield Shot(step, before, action[0], obs, float(reward), total, over)
        self.returns.append(total)

    def _beside(self, beside: Beside, shot: Shot, begun: int, shown: bool) -> Iterator[Image.Image]:
        """The model's step; and where it is shown, the environment and its twin in the state that the model expects."""
        imagined = beside.imagined
        low, high = (np.asarray(bound, np.float32) for bound in (self.spec.action_low, self.spec.action_high))
        expected, reward = imagined.after(shot.before, agent_action(shot.action, low, high))
        self.errors.append(imagined.error(expected, shot.after))
        if not shown:
            return
        if np.isfinite(expected).all():  # else it stays where it was last seen
            beside.set_state(beside.twin, self.env, expected, shot.action)
        ahead, worst = imagined.ahead, imagined.worst(expected, shot.after)
        title = f"model, on its own for {ahead} step{'s' * (ahead != 1)}"
        curve = Curve(self.errors[begun:], imagined.anchors, max(min(self.limit or SPAN, SPAN), shot.step))
        off = f"error {self.errors[-1]:.3f} of the data's spread · largest in observation {worst}: "
        off += f"{expected[worst]:.2f}, is {shot.after[worst]:.2f}"
        panels = [(self.env_id, drawn(self.env, self.env_id)), (title, drawn(beside.twin, self.env_id))]
        legend = (
            f"curve: error up to {curve.top:.2g}; upright: the model is shown the true state, every {imagined.every}"
        )
        yield picture(panels, [f"{told(shot)} · reward in the model {reward:.2f}", off, f"{legend} steps"], curve)


def told(shot: Shot) -> str:
    """Where the episode is."""
    return f"step {shot.step} · reward {shot.reward:.2f} · return {shot.total:.1f}"


def drawn(env: Any, name: str) -> NDArray[np.uint8]:
    """[H, W, 3] what the environment shows.

    Raises:
        MissingError: it cannot be drawn here, or draws something else.
    """
    try:
        frame = env.render()
    except Exception as error:  # a package, a library or a driver is missing: each says so in its own way
        what = brief(str(error)) or type(error).__name__
        remedy = video_file.INSTALL if "pygame" in what else f"MuJoCo needs: {video_backend.INSTALL}"
        raise MissingError(f"{name} cannot be drawn here: {what}; {remedy}") from error
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.dtype != np.uint8:
        raise MissingError(f"{name} draws no pictures, so there is nothing to film")
    return frame
