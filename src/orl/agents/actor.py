"""The policy: parameters that act on their own, the way they act, and the losses that shape them."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from orl.agents.config import PolicyConfig
from orl.data.normalise import Normaliser
from orl.distributions import sample_tanh_gaussian
from orl.networks import Actor, forward
from orl.types import ActFn, Array, Params


class PolicyParams(NamedTuple):
    """All that a policy needs to act: the network's parameters and the normaliser of its observations."""

    actor: Params
    normaliser: Normaliser


def make_actor(config: PolicyConfig, action_dim: int) -> Actor:
    """The actor network of a configuration."""
    return Actor(config.hidden, action_dim, config.layer_norm)


def init_policy(actor: Actor, key: Array, normaliser: Normaliser) -> PolicyParams:
    """Fresh policy parameters; the key is consumed."""
    return PolicyParams(actor.init(key, jnp.zeros((1, normaliser.mean.shape[0]))), normaliser)


def with_spread(policy: PolicyParams, log_std: float) -> PolicyParams:
    """The same modes, and before squashing a standard deviation of exp(log_std) everywhere, which can be learned on.

    The spread of a policy that was cloned by its mode is untrained.
    """
    net = policy.actor["params"]["MLP_0"]
    name = f"Dense_{sum(layer.startswith('Dense_') for layer in net) - 1}"
    kernel, bias = net[name]["kernel"], net[name]["bias"]
    half = bias.shape[-1] // 2
    head = {"kernel": kernel.at[..., half:].set(0.0), "bias": bias.at[..., half:].set(log_std)}
    return policy._replace(actor={"params": {"MLP_0": {**net, name: head}}})


def gaussian_log_std(entropy: float) -> float:
    """log of the standard deviation of a Gaussian in one dimension of so many nats: h = log(std) + log(2 pi e) / 2."""
    return entropy - 0.5 * math.log(2.0 * math.pi * math.e)


def actor_optimiser(config: PolicyConfig, total_updates: int) -> optax.GradientTransformation:
    """Adam, with a cosine decay to zero over the run where the settings ask for it."""
    rate: float | optax.Schedule = config.actor_learning_rate
    if config.actor_cosine:
        rate = optax.cosine_decay_schedule(config.actor_learning_rate, max(total_updates, 1))
    return optax.adam(rate)


@cache
def make_act(actor: Actor) -> ActFn:
    """The policy as a function: a sample with a key, tanh of the mean without one.

    The same function for the same network, so that programs compiled for one policy serve the next.
    """

    def act(params: PolicyParams, key: Array | None, obs: Array) -> Array:
        mean, log_std = forward(actor, params.actor, params.normaliser.apply(obs))
        if key is None:
            return jnp.tanh(mean)
        return sample_tanh_gaussian(key, mean, log_std)[0]

    return act


class SampleFn(Protocol):
    """(params, key, obs [..., O], count) -> actions [..., A] and their log-densities [...]; the key is consumed.

    With a count, that many actions of each observation, [..., count, A] and [..., count].
    """

    def __call__(
        self, params: PolicyParams, key: Array, obs: Array, count: int | None = None
    ) -> tuple[Array, Array]: ...


def make_sample(actor: Actor) -> SampleFn:
    """Actions of the policy with their densities; the network sees each observation once, however many are drawn."""

    def sample(params: PolicyParams, key: Array, obs: Array, count: int | None = None) -> tuple[Array, Array]:
        mean, log_std = forward(actor, params.actor, params.normaliser.apply(obs))
        if count is not None:
            shape = (*mean.shape[:-1], count, mean.shape[-1])
            mean, log_std = (jnp.broadcast_to(x[..., None, :], shape) for x in (mean, log_std))
        return sample_tanh_gaussian(key, mean, log_std)

    return sample


def uniform_act(action_dim: int) -> ActFn:
    """The policy that draws every action uniformly from [-1, 1]; it needs a key and ignores its parameters."""

    def act(params: Params, key: Array | None, obs: Array) -> Array:
        if key is None:
            raise ValueError("the uniform policy needs a key")
        return jax.random.uniform(key, (*obs.shape[:-1], action_dim), minval=-1.0, maxval=1.0)

    return act


def soft_policy_loss(log_prob: Array, q: Array, alpha: Array) -> Array:
    """mean(alpha * log pi - min_k Q_k), SAC's policy loss (arXiv:1812.05905); log_prob [B], q [K, B]."""
    return jnp.mean(alpha * log_prob - jnp.min(q, axis=0))


def temperature_loss(log_alpha: Array, log_prob: Array, target_entropy: float) -> Array:
    """-mean(log_alpha * (log pi + target_entropy)), log pi [B]: eq. 18 of arXiv:1812.05905 in its usual log form."""
    return -jnp.mean(log_alpha * (jax.lax.stop_gradient(log_prob) + target_entropy))


def cloning_loss(action: Array, logged: Array) -> Array:
    """Mean squared distance of actions [B, A]: the likelihood of a Gaussian of fixed width.

    Reference: behaviour cloning, Pomerleau, 1991.
    """
    return jnp.mean(jnp.sum((action - logged) ** 2, axis=-1))
