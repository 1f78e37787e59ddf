"""The policy as an ONNX model, built operator by operator: nothing is traced, so nothing unforeseen is in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orl.deployment.description import Description, Layer, arrays_of
from orl.deployment.reference import ACTION, FLAG, MEMORY, UNCERTAINTY

OPSET = 18  # reductions take their axes as an input from here on, and every runtime since 2023 reads it
IR_VERSION = 8  # of the same age
FLAX_EPSILON = 1e-6  # of LayerNorm


def onnx_bytes(description: Description, producer: str) -> bytes:
    """The model file of a description, which needs the package onnx. Its inputs and outputs are those of the reference.

    Args:
        producer: version of what wrote it, for the file's own record.
    """
    import onnx

    spec, graph = description.spec, _Graph(onnx.helper, onnx.numpy_helper)
    for name, array in arrays_of(description).items():
        if name != "history":
            graph.constant(array, name)
    stacked = graph.history(description) if spec.history else "obs"
    chosen = graph.node("Tanh", graph.perceptron("policy", description.layers, stacked, graph.relu))
    graph.to_environment(chosen)
    if description.detector is not None:
        graph.detect(description, stacked, chosen)
    if spec.history:
        graph.remember(description, stacked)
    model = onnx.helper.make_model(
        graph.finished(description),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="orl",
        producer_version=producer,
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Graph:
    """Nodes and constants as they are added; every method returns the name of what its last node gives."""

    def __init__(self, helper: Any, arrays: Any) -> None:
        self._helper, self._arrays = helper, arrays
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, value: Any, name: str | None = None) -> str:
        """An array of the file; whole numbers become int64, the rest float32."""
        array: NDArray[Any] = np.asarray(value)
        name = name or f"constant_{len(self._constants)}"
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        self._constants[name] = self._arrays.from_array(array.astype(kind), name)
        return name

    def node(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """One operator with one output."""
        name = name or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(operator, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def columns(self, x: str, first: int, last: int) -> str:
        """x[:, first:last]."""
        return self.node("Slice", x, *(self.constant([each]) for each in (first, last, 1)))

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def swish(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def perceptron(self, which: str, layers: tuple[Layer, ...], x: str, activation: Any) -> str:
        """Standardise x [B, I], then the layers."""
        x = self.node("Div", self.node("Sub", x, f"{which}_mean"), f"{which}_std")
        for index, layer in enumerate(layers):
            x = self.node("Add", self.node("MatMul", x, f"{which}_kernel_{index}"), f"{which}_bias_{index}")
            if layer.scale is not None:
                norm = (f"{which}_scale_{index}", f"{which}_offset_{index}")
                x = self.node("LayerNormalization", x, *norm, axis=-1, epsilon=FLAX_EPSILON)
            x = activation(x) if index < len(layers) - 1 else x
        return x

    def to_environment(self, chosen: str) -> str:
        """The action in the environment's units, inside its bounds."""
        half = self.node("Mul", self.node("Add", chosen, self.constant(1.0)), self.constant(0.5))
        raw = self.node("Add", "action_low", self.node("Mul", half, self.node("Sub", "action_high", "action_low")))
        return self.node("Min", self.node("Max", raw, "action_low"), "action_high", name=ACTION)

    def detect(self, description: Description, stacked: str, chosen: str) -> str:
        """The members' greatest pairwise distance, calibrated, and whether it is above the threshold or no number."""
        assert description.detector is not None
        x = self.node("Concat", stacked, chosen, axis=1)
        change = self.perceptron("model", description.detector.layers, x, self.swish)
        change = self.node("Mul", change, "model_unit")  # [E, B, O]
        one, other = (self.node("Unsqueeze", change, self.constant([axis])) for axis in (0, 1))
        square = self.node("ReduceSum", self._squared(self.node("Sub", one, other)), self.constant([3]), keepdims=0)
        largest = self.node("ReduceMax", square, self.constant([0, 1]), keepdims=0)
        unsure = self.node("Mul", self.node("Sqrt", largest), "factor", name=UNCERTAINTY)
        return self.node("Not", self.node("LessOrEqual", unsure, "threshold"), name=FLAG)

    def history(self, description: Description) -> str:
        """The observation on top of its memory; on top of itself, with actions of 0, where an episode begins."""
        spec, size = description.spec, description.memory_dim
        begun = self.node("Greater", self.columns("memory", size - 1, size), self.constant(0.5))
        held = self.columns("memory", 0, size - 1)
        repeated = self.node("Tile", "obs", self.constant([1, spec.history]))
        nothing = self.node("Mul", self.columns(held, spec.history * spec.obs_dim, size - 1), self.constant(0.0))
        first = self.node("Concat", repeated, nothing, axis=1)
        return self.node("Concat", "obs", self.node("Where", begun, held, first), axis=1)

    def remember(self, description: Description, stacked: str) -> str:
        """The memory for the next step, with this action, as it was played, in [-1, 1]."""
        spec = description.spec
        width = self.node("Sub", "action_high", "action_low")
        share = self.node("Div", self.node("Sub", ACTION, "action_low"), width)
        played = self.node("Sub", self.node("Mul", share, self.constant(2.0)), self.constant(1.0))
        played = self.node("Clip", played, self.constant(-1.0), self.constant(1.0))
        actions = (spec.history + 1) * spec.obs_dim
        older = self.columns(stacked, actions, actions + (spec.history - 1) * spec.action_dim)
        newest = self.columns(stacked, 0, 1)
        begun = self.node("Add", self.node("Mul", newest, self.constant(0.0)), self.constant(1.0))
        kept = self.columns(stacked, 0, spec.history * spec.obs_dim)
        return self.node("Concat", kept, played, older, begun, axis=1, name=MEMORY)

    def finished(self, description: Description) -> Any:
        """The graph with its inputs and outputs, a batch of any size each."""
        spec, size = description.spec, description.memory_dim
        inputs, outputs = [self._rows("obs", spec.obs_dim)], [self._rows(ACTION, spec.action_dim)]
        if description.detector is not None:
            outputs += [self._rows(UNCERTAINTY), self._rows(FLAG, kind="BOOL")]
        if spec.history:
            inputs.append(self._rows("memory", size))
            outputs.append(self._rows(MEMORY, size))
        return self._helper.make_graph(self._nodes, "policy", inputs, outputs, list(self._constants.values()))

    def _rows(self, name: str, *shape: int, kind: str = "FLOAT") -> Any:
        from onnx import TensorProto

        return self._helper.make_tensor_value_info(name, getattr(TensorProto, kind), ["batch", *shape])

    def _squared(self, x: str) -> str:
        return self.node("Mul", x, x)
