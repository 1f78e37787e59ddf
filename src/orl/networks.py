"""The networks: a multilayer perceptron, stacks of them, a Gaussian actor and a set of critics (flax.linen)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import lecun_normal, truncated_normal, zeros_init

from orl.types import Array, Params

Activation = Callable[[Array], Array]
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # SAC's reference implementation clips the log standard deviation here


def truncated_fan_in(divisor: float = 2.0) -> Callable[..., Array]:
    """Initialiser of the MBPO/MOPO ensembles: truncated normal with std 1 / (divisor * sqrt(fan_in))."""

    def init(key: Array, shape: Sequence[int], dtype: object = jnp.float32) -> Array:
        # flax, like TensorFlow, takes the std before truncation at two of them; what comes out has 0.88 of it
        return truncated_normal(1.0 / (divisor * shape[-2] ** 0.5))(key, shape, dtype)

    return init


def forward(module: nn.Module, params: Params, *inputs: Any, method: Callable[..., Any] | None = None) -> Any:
    """What the module (or one method of it) computes from `inputs` with `params`; its type is the module's own."""
    return module.apply(params, *inputs, method=method)


class MLP(nn.Module):
    """A perceptron [..., I] -> [..., out_dim] with optional LayerNorm after each hidden product."""

    hidden: Sequence[int]
    out_dim: int
    activation: Activation = nn.relu
    layer_norm: bool = False
    kernel_init: Callable[..., Array] = lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=self.kernel_init, bias_init=zeros_init())(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = self.activation(x)
        return nn.Dense(self.out_dim, kernel_init=self.kernel_init, bias_init=zeros_init())(x)


def stacked(members: int, *, shared_input: bool) -> type[nn.Module]:
    """An `MLP` whose parameters carry a leading axis of independent members.

    Args:
        members: how many.
        shared_input: every member sees the same [B, I]; otherwise the input is [members, B, I].

    Returns:
        A module class with the arguments of `MLP` and outputs [members, B, out_dim].
    """
    return nn.vmap(
        MLP,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None if shared_input else 0,
        out_axes=0,
        axis_size=members,
    )


class Actor(nn.Module):
    """Gaussian policy before squashing: standardised observation [B, O] -> (mean, log_std), each [B, A]."""

    hidden: Sequence[int]
    action_dim: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        out = MLP(self.hidden, 2 * self.action_dim, layer_norm=self.layer_norm)(obs)
        mean, log_std = jnp.split(out, 2, axis=-1)
        return mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)


class Critics(nn.Module):
    """K independent state-action values: (standardised obs [..., O], action [..., A]) -> [K, ...]."""

    hidden: Sequence[int]
    critics: int = 2
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Array, action: Array) -> Array:
        net = stacked(self.critics, shared_input=True)(self.hidden, 1, layer_norm=self.layer_norm)
        return net(jnp.concatenate([obs, action], axis=-1))[..., 0]
