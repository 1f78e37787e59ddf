"""How a policy's file is called: the part of its model card that is to be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ONNX = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("policy.onnx")
names = [each.name for each in session.get_outputs()]


def step(*arrays):
    inputs = dict(zip([each.name for each in session.get_inputs()], arrays))
    return dict(zip(names, session.run(names, inputs)))
"""

STABLEHLO = """\
from pathlib import Path

import jax
import numpy as np
from jax import export

step = jax.jit(export.deserialize(bytearray(Path("policy.stablehlo").read_bytes())).call)
"""

NUMPY = """\
import numpy as np
from policy import Policy

policy = Policy("policy.npz")


def step(*arrays):
    return {name: part for name, part in policy(*arrays)._asdict().items() if part is not None}
"""

LOADING = {"onnx": ONNX, "stablehlo": STABLEHLO, "numpy": NUMPY}
NEEDED = {"onnx": "onnxruntime", "stablehlo": "jax", "numpy": "numpy"}


def usage(document: Mapping[str, Any]) -> str:
    """A program that loads the file and asks it once, or through two steps of an episode where it has a memory."""
    size = document["obs_dim"]
    lines = [LOADING[document["format"]], f"obs = np.zeros((1, {size}), np.float32)  # the system's observation"]
    if document["history"]:
        lines += [f"memory = np.zeros((1, {document['memory_dim']}), np.float32)  # an episode begins"]
        lines += ["for _ in range(2):", "    answer = step(obs, memory)", '    memory = answer["next_memory"]']
    else:
        lines += ["answer = step(obs)"]
    lines += ['print(answer["action"])  # to the system']
    if document["flag"]["missing"] is None:
        lines += ['print(answer["out_of_distribution"])  # true: do not trust it']
    needed = NEEDED[document["format"]]
    return f"## Use\n\nIt needs {needed} and no orl:\n\n```python\n" + "\n".join(lines) + "\n```"
