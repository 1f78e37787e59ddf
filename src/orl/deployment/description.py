"""The deterministic policy as plain arrays: all that a file in another format holds, under the names it has there.

The computation, in the words of `orl.types`: the observation with its history is standardised, goes through the actor's
perceptron, and tanh of its first A outputs is scaled to the environment's bounds. Beside it the ensemble's members
predict what this action does; how far they disagree, times a calibrated factor, is the uncertainty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.agents.actor import PolicyParams
from orl.dynamics.ensemble import EnsembleParams
from orl.errors import UsageError
from orl.types import Params, Spec

Floats = NDArray[np.float32]


class Layer(NamedTuple):
    """A product of a perceptron, before its activation: kernel [I, D], bias [D]; or of E members, [E, I, D], [E, 1, D].

    `scale` and `offset` [D] belong to the LayerNorm behind it, None without one.
    """

    kernel: Floats
    bias: Floats
    scale: Floats | None = None
    offset: Floats | None = None


class Detector(NamedTuple):
    """The ensemble as far as its members' disagreement needs it, and what calibration made of that.

    Attributes:
        mean, std: [W + A] of its inputs. layers: of the members; the last one gives the change of the newest obs [O].
        unit: [O] the members' unit of change over the training spread of the next observation.
        factor: uncertainty per unit of disagreement. threshold: of the uncertainty, above it the flag is up.
    """

    mean: Floats
    std: Floats
    layers: tuple[Layer, ...]
    unit: Floats
    factor: np.float32
    threshold: np.float32


class Description(NamedTuple):
    """A policy: `mean`, `std` [W] of what its network sees, its layers (ReLU between, tanh behind), its detector."""

    spec: Spec
    mean: Floats
    std: Floats
    layers: tuple[Layer, ...]
    detector: Detector | None = None

    @property
    def memory_dim(self) -> int:
        """M, numbers of the memory: k earlier observations, k actions and whether the episode has begun; 0 without."""
        return memory_size(self.spec)


def memory_size(spec: Spec) -> int:
    """k O + k A + 1 numbers that a policy with a history hands on from step to step; 0 for one without."""
    return spec.stacked_dim - spec.obs_dim + 1 if spec.history else 0


def describe(policy: Params, spec: Spec, detector: Detector | None = None) -> Description:
    """The description of a policy's parameters.

    Raises:
        UsageError: it is no perceptron of observations, which is all that a file can hold.
    """
    if not isinstance(policy, PolicyParams):
        raise UsageError("this algorithm's policy is no perceptron of observations; only such policies can be exported")
    layers = perceptron(policy.actor["params"]["MLP_0"])
    mean, std = (np.asarray(x, np.float32) for x in policy.normaliser)
    return Description(spec, mean, std, with_outputs(layers, spec.action_dim), detector)


def detector_of(model: EnsembleParams, obs_dim: int, factor: float, threshold: float) -> Detector:
    """The detector of a fitted ensemble; of `factor` and `threshold` see `deployment.familiarity`."""
    mean, std = (np.asarray(x, np.float32) for x in model.inputs)
    layers = tuple(each._replace(bias=each.bias[:, None]) for each in perceptron(model.net["params"]))
    unit = np.asarray(model.targets.std / model.outputs.std, np.float32)[:obs_dim]
    return Detector(mean, std, with_outputs(layers, obs_dim), unit, np.float32(factor), np.float32(threshold))


def perceptron(net: Any) -> tuple[Layer, ...]:
    """The layers of a `networks.MLP` in order."""
    found = []
    for index in range(sum(name.startswith("Dense_") for name in net)):
        dense, norm = net[f"Dense_{index}"], net.get(f"LayerNorm_{index}")
        parts = (dense["kernel"], dense["bias"], *((norm["scale"], norm["bias"]) if norm else ()))
        found.append(Layer(*(np.asarray(part, np.float32) for part in parts)))
    return tuple(found)


def with_outputs(layers: tuple[Layer, ...], count: int) -> tuple[Layer, ...]:
    """The same perceptron with only the first `count` of its outputs; nothing else of it is needed."""
    last = layers[-1]
    return (*layers[:-1], last._replace(kernel=last.kernel[..., :count], bias=last.bias[..., :count]))


def arrays_of(description: Description) -> dict[str, NDArray[Any]]:
    """Every number of the description under its name in the files; shapes as in `Layer` and `Detector`, bounds [A]."""
    spec, detector = description.spec, description.detector
    named: dict[str, NDArray[Any]] = {
        "history": np.asarray(spec.history, np.int64),
        "action_low": np.asarray(spec.action_low, np.float32),
        "action_high": np.asarray(spec.action_high, np.float32),
        "policy_mean": description.mean,
        "policy_std": description.std,
        **_named(description.layers, "policy"),
    }
    if detector is not None:
        named |= {"model_mean": detector.mean, "model_std": detector.std, **_named(detector.layers, "model")}
        named |= {"model_unit": detector.unit, "factor": np.asarray(detector.factor)}
        named |= {"threshold": np.asarray(detector.threshold)}
    return named


def _named(layers: tuple[Layer, ...], prefix: str) -> dict[str, NDArray[Any]]:
    named = {}
    for index, layer in enumerate(layers):
        for part, array in layer._asdict().items():
            if array is not None:
                named[f"{prefix}_{part}_{index}"] = array
    return named
