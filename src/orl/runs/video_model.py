"""What a run's own model expects while an episode is played: on its own, but for a look at the truth now and then."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.mdp.step import mean_step
from orl.runs.fit_model import FittedModel

Floats = NDArray[np.float32]


class Imagined:
    """An episode as the elites' mean expects it, for the actions that are really played.

    It is shown the true state every `every` steps; in between its predictions build on its predictions.

    Attributes:
        every: as given.
        ahead: steps since it was shown the true state: 1 to `every` after a step, 0 at the start of an episode.
        anchors: the steps before which it was shown the true state.
    """

    def __init__(self, model: FittedModel, every: int) -> None:
        step, self.every = mean_step(model.ensemble), every
        self._params, self._obs_dim = model.params, model.ensemble.obs_dim
        self._step = jax.jit(lambda params, obs, action: step(params, jax.random.key(0), obs, action))
        self._spread = np.asarray(model.params.outputs.std[: self._obs_dim], np.float64)
        self.begin()

    def begin(self) -> None:
        """A new episode."""
        self.ahead, self._steps = 0, 0
        self.anchors: list[int] = []

    def after(self, truth: Floats, action: Floats) -> tuple[Floats, float]:
        """(observation [O], reward) expected after `action` [A] in [-1, 1].

        Args:
            truth: [W] the true observation before the action, on top of the history that the model sees.
        """
        if self._steps % self.every == 0:
            self._stacked, self.ahead = jnp.asarray(truth)[None], 0
            self.anchors.append(self._steps)
        out = self._step(self._params, self._stacked, jnp.asarray(action)[None])
        self._stacked, self.ahead, self._steps = out.next_obs, self.ahead + 1, self._steps + 1
        return np.asarray(out.next_obs[0, : self._obs_dim]), float(out.reward[0])

    def error(self, expected: Floats, truth: Floats) -> float:
        """Root mean square over dimensions [O] of the difference, in units of the training data's spread.

        Infinite where the model ran away, to what is no number.
        """
        error = float(np.sqrt(np.mean(self._scaled(expected, truth) ** 2)))
        return error if np.isfinite(error) else float("inf")

    def worst(self, expected: Floats, truth: Floats) -> int:
        """The dimension of [O] that is furthest off, in those units."""
        return int(np.argmax(np.abs(self._scaled(expected, truth))))

    def _scaled(self, expected: Floats, truth: Floats) -> NDArray[np.float64]:
        return (np.asarray(expected, np.float64) - truth) / self._spread
