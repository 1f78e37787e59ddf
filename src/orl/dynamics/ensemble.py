"""A probabilistic ensemble: E networks that each predict mean and variance of (next_obs - obs, reward).

Reference: MBPO arXiv:1906.08253 and MOPO arXiv:2005.13239 (7 members, 5 elites, 4 x 200, Swish).
The reward is the LAST output dimension. All predictions leave this module in raw units. With a history (`data.history`)
the networks read whole stacks [B, W] and predict the newest observation only: older ones are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from orl.data.normalise import Normaliser
from orl.dynamics.config import EnsembleConfig
from orl.dynamics.loss import soft_clamp
from orl.networks import MLP, forward, stacked, truncated_fan_in
from orl.types import Array, Params, stacked_size


class EnsembleParams(NamedTuple):
    """Everything a fitted ensemble is made of; a pytree that can be saved, passed to jit and restored.

    Attributes:
        net: stacked network parameters, leading axis E.
        min_log_var, max_log_var: [O+1] learned bounds, shared by the members, in the units of the targets.
        termination: parameters of the termination head, or {} without one.
        inputs: normaliser of [obs, action]. targets: normaliser of [next_obs - obs, reward].
        outputs: normaliser of [next_obs, reward]: the "standardised" units of uncertainties and of the held-out report.
        elites: [elites] int32, the members with the lowest held-out error.
    """

    net: Params
    min_log_var: Array
    max_log_var: Array
    termination: Params
    inputs: Normaliser
    targets: Normaliser
    outputs: Normaliser
    elites: Array


def next_obs_normaliser(params: EnsembleParams) -> Normaliser:
    """The part of `outputs` that belongs to the next observation."""
    return Normaliser(params.outputs.mean[:-1], params.outputs.std[:-1])


class Prediction(NamedTuple):
    """Members' Gaussians over [next_obs - obs, reward] in raw units: mean and std, each [E, B, O+1]."""

    mean: Array
    std: Array


@dataclass(frozen=True)
class Ensemble:
    """The shape of an ensemble: pure functions of `EnsembleParams`, hashable, free of arrays.

    Attributes:
        obs_dim: O, numbers of one observation. history: earlier observations and actions that `obs` [B, W] comes with.
    """

    config: EnsembleConfig
    obs_dim: int
    action_dim: int
    learned_termination: bool = False
    history: int = 0

    @property
    def in_dim(self) -> int:
        """W + A: what the networks read."""
        return stacked_size(self.obs_dim, self.action_dim, self.history) + self.action_dim

    @property
    def out_dim(self) -> int:
        """O + 1: the change of each dimension of the newest observation, then the reward."""
        return self.obs_dim + 1

    def network(self, members: int, *, shared_input: bool) -> nn.Module:
        """The stacked network; its parameters fit any `members` that matches their leading axis."""
        return stacked(members, shared_input=shared_input)(
            hidden=self.config.hidden,
            out_dim=2 * self.out_dim,
            activation=nn.swish,
            kernel_init=truncated_fan_in(),
        )

    @property
    def termination_head(self) -> MLP:
        """Logit of termination from standardised [obs, action] and standardised next_obs."""
        return MLP(self.config.termination_hidden, 1, activation=nn.swish)

    def init(self, key: Array, inputs: Normaliser, targets: Normaliser, outputs: Normaliser) -> EnsembleParams:
        """Fresh parameters. The key is consumed."""
        net_key, head_key = jax.random.split(key)
        x = jnp.zeros((1, self.in_dim))
        net = self.network(self.config.members, shared_input=True).init(net_key, x)
        head: Params = {}
        if self.learned_termination:
            head = self.termination_head.init(head_key, jnp.zeros((1, self.in_dim + self.obs_dim)))
        return EnsembleParams(
            net=net,
            min_log_var=jnp.full(self.out_dim, -10.0),
            max_log_var=jnp.full(self.out_dim, 0.5),
            termination=head,
            inputs=inputs,
            targets=targets,
            outputs=outputs,
            elites=jnp.arange(self.config.elites, dtype=jnp.int32),
        )

    def head(self, params: EnsembleParams, net: Params, x: Array) -> tuple[Array, Array]:
        """(mean, log_var) [M, B, O+1] in the units of the targets, of the members in `net`.

        Args:
            x: standardised inputs, [B, W+A] shared by all members or [M, B, W+A] one batch a member.
        """
        members = jax.tree.leaves(net)[0].shape[0]
        out = forward(self.network(members, shared_input=x.ndim == 2), net, x)
        mean, log_var = jnp.split(out, 2, axis=-1)
        return mean, soft_clamp(log_var, params.min_log_var, params.max_log_var)

    def predict(self, params: EnsembleParams, obs: Array, action: Array) -> Prediction:
        """Every member's prediction for every row: obs [B, W], action [B, A] -> [E, B, O+1]."""
        x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
        mean, log_var = self.head(params, params.net, x)
        return Prediction(params.targets.invert(mean), jnp.exp(0.5 * log_var) * params.targets.std)

    def predict_dealt(self, params: EnsembleParams, key: Array, obs: Array, action: Array) -> tuple[Array, Array]:
        """One elite's (mean, std) [B, O+1] for each row, at the cost of one network per row.

        Rows are shuffled and dealt out evenly, so each row's elite is uniform; surplus seats are filled with
        repeated rows and dropped. The key is consumed.
        """
        rows, elites = obs.shape[0], self.config.elites
        seats = -(-rows // elites) * elites
        order = jax.random.permutation(key, seats)
        x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
        dealt = x[order % rows].reshape(elites, seats // elites, -1)
        net = jax.tree.map(lambda leaf: leaf[params.elites], params.net)
        mean, log_var = self.head(params, net, dealt)
        seat_of_row = jnp.argsort(order)[:rows]
        mean = mean.reshape(seats, -1)[seat_of_row]
        log_var = log_var.reshape(seats, -1)[seat_of_row]
        return params.targets.invert(mean), jnp.exp(0.5 * log_var) * params.targets.std

    def termination_logit(self, params: EnsembleParams, obs: Array, action: Array, next_obs: Array) -> Array:
        """Logit [B] that this transition ended the episode, by the learned head; of next_obs it reads the newest."""
        x = params.inputs.apply(jnp.concatenate([obs, action], axis=-1))
        x = jnp.concatenate([x, next_obs_normaliser(params).apply(next_obs[..., : self.obs_dim])], axis=-1)
        return forward(self.termination_head, params.termination, x)[..., 0]
