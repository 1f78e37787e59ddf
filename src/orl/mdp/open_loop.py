"""Where a model goes when it is told what to play: predictions on predictions, with nothing from the world between."""

from __future__ import annotations

import jax

from orl.types import Array, Params, StepFn


def open_loop(step: StepFn, params: Params, key: Array, obs: Array, actions: Array) -> tuple[Array, Array]:
    """(obs [B, H, W] *after* each action, reward [B, H]) of actions [B, H, A] from obs [B, W] on.

    Ends that the model sees are passed over: what is asked for is the whole prediction. The key is consumed.
    """

    def one(obs: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        action, step_key = now
        out = step(params, step_key, obs, action)
        return out.next_obs, (out.next_obs, out.reward)

    horizon = actions.shape[1]
    _, (path, reward) = jax.lax.scan(one, obs, (actions.swapaxes(0, 1), jax.random.split(key, horizon)))
    return path.swapaxes(0, 1), reward.T
