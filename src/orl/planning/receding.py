"""Acting by planning: remember what happened, plan, act the first steps of the plan, plan again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.data.border import observation_rows, to_env_action
from orl.planning.base import History, Plan, PlanFn
from orl.types import Params, Spec

MAX_CHUNK = 16  # episodes; more at once would leave the caches
Floats = NDArray[np.float32]


class Planner:
    """A planner ready to act, with the policy object's signature.

    Calling it with one observation [O] gives one action [A]; with a batch [B, O] of episodes played side by side, a
    batch [B, A]. Actions are in the environment's units and inside its bounds. Unlike a policy it has a memory: each
    call is one step further in every episode, `reward` is what the step before paid (without it, what the model
    expected), and `reset` begins new episodes.

    Attributes:
        last: the newest plan, arrays with a leading axis B; None before the first. seconds: of each planning call.
    """

    last: Plan | None
    seconds: list[float]
    _fresh: NDArray[np.bool_]  # episodes at their first step
    _age: int  # steps acted of the last plan
    _steps: int  # plans made

    def __init__(
        self,
        plan: PlanFn,
        params: Params,
        spec: Spec,
        *,
        context: int,
        horizon: int,
        plan_freq: int = 1,
        seed: int = 0,
        chunk: int | None = None,
    ) -> None:
        """`context` is how many past transitions `plan` reads, `horizon` how many steps it plans, `plan_freq` how many
        of them are acted; `chunk` is how many episodes one program plans for (None: as suits the device).
        """
        self.spec, self.last, self.seconds = spec, None, []
        self._params, self._context, self._horizon, self._freq = params, context, horizon, plan_freq
        self._plan: Callable[..., Plan] = jax.jit(plan)
        self._root, self._chunk = jax.random.key(seed), chunk
        self._rows = 0
        self._low, self._high = (np.asarray(x, np.float32) for x in (spec.action_low, spec.action_high))

    def __call__(self, obs: ArrayLike, reward: ArrayLike | None = None) -> Floats:
        """Action for the current observation of every episode.

        Raises:
            DataError: the observation's size is not the one the model was fitted to.
        """
        rows, single = observation_rows(obs, self.spec.obs_dim, "planner")
        if len(rows) != self._rows:
            self._begin(len(rows))
        self._remember(None if reward is None else np.asarray(reward, np.float32).reshape(-1))
        if self.last is None or self._fresh.any() or self._age >= self._freq:
            self._plan_now(rows)
        assert self.last is not None
        action = np.asarray(self.last.trajectory.action)[:, self._age]
        self._expected = np.asarray(self.last.trajectory.reward)[:, self._age]
        self._seen, self._done, self._age = rows.copy(), action, self._age + 1
        out = self.to_env(action)
        return out[0] if single else out

    def to_env(self, action: ArrayLike) -> Floats:
        """Actions [..., A] in [-1, 1] in the environment's units."""
        low, high = self._low, self._high
        return np.clip(to_env_action(np.asarray(action), low, high), low, high).astype(np.float32)

    def use(self, params: Params) -> None:
        """Plan with other parameters of the same shapes, without compiling again."""
        self._params = params
        self.reset()

    def reset(self, rows: Any = None) -> None:
        """Begin new episodes in these rows of the batch; in all of them, when None."""
        if self._rows == 0:
            return
        chosen = slice(None) if rows is None else np.asarray(rows)
        self._length[chosen], self._guess[chosen], self._fresh[chosen] = 0, 0.0, True

    def _begin(self, rows: int) -> None:
        self._rows, self._age, self._steps, self.last = rows, 0, 0, None
        context, spec = self._context, self.spec
        self._obs = np.zeros((rows, context, spec.obs_dim), np.float32)
        self._action = np.zeros((rows, context, spec.action_dim), np.float32)
        self._reward = np.zeros((rows, context), np.float32)
        self._length = np.zeros(rows, np.int32)
        self._guess = np.zeros((rows, self._horizon, spec.action_dim), np.float32)
        self._fresh = np.ones(rows, bool)

    def _remember(self, reward: Floats | None) -> None:
        """The step before becomes the newest transition of the episodes that go on."""
        if self.last is None:
            return
        on = ~self._fresh
        paid = self._expected if reward is None else reward
        for memory, newest in ((self._obs, self._seen), (self._action, self._done), (self._reward, paid)):
            memory[on] = np.concatenate([memory[on, 1:], np.asarray(newest)[on, None]], axis=1)
        self._length[on] = np.minimum(self._length[on] + 1, self._context)
        self._guess[on] = np.concatenate([self._guess[on, 1:], np.zeros_like(self._guess[on, :1])], axis=1)

    def _plan_now(self, obs: Floats) -> None:
        began = time.perf_counter()
        keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.fold_in(self._root, self._steps), row))(
            jnp.arange(self._rows)
        )
        seen = (self._obs, self._action, self._reward, obs, self._length, self._guess)
        history = History(*map(jnp.asarray, seen))
        self.last = jax.tree.map(np.asarray, self._in_chunks(keys, history))
        self._guess = np.array(self.last.trajectory.action)
        self._fresh[:] = False
        self._age, self._steps = 0, self._steps + 1
        self.seconds.append(time.perf_counter() - began)

    def _in_chunks(self, keys: jax.Array, history: History) -> Plan:
        """The plans of all episodes, a few episodes a program, as many programs at once as there are cores.

        On CPU most of a planner's operations are too small to be spread over cores, so programs side by side use them
        better than one large one. Accelerators get the whole batch at once. Which episodes share a program changes no
        plan, up to rounding.
        """
        whole = jax.default_backend() != "cpu" or self._rows == 1
        share = min(-(-self._rows // (os.cpu_count() or 1)), MAX_CHUNK)
        size = self._rows if whole else min(self._chunk or share, self._rows)
        starts = range(0, self._rows, size)
        if len(starts) == 1:
            return jax.block_until_ready(self._plan(self._params, keys, history))

        def one(start: int) -> Plan:
            rows = np.minimum(np.arange(start, start + size), self._rows - 1)  # the last chunk may repeat a row
            part = jax.tree.map(lambda x: x[rows], history)
            return jax.block_until_ready(self._plan(self._params, keys[rows], part))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(one, starts))
        return jax.tree.map(lambda *x: np.concatenate(x)[: self._rows], *parts)
