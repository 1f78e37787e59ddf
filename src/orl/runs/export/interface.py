"""What a policy's file takes, what it gives, and how it is called: the part of the card for whoever deploys it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orl.runs.export.markdown import code, number, table

Document = Mapping[str, Any]

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


def inputs(document: Document) -> str:
    """Observation and memory: order, units, and what the log held."""
    data = document["dataset"]
    ranges = zip(data["obs_names"], data["obs_low"], data["obs_mean"], data["obs_high"], strict=True)
    rows = [[str(i), code(name), *map(number, rest)] for i, (name, *rest) in enumerate(ranges)]
    text = (
        f"## Input\n\n`obs`, float32 `[batch, {document['obs_dim']}]`, in the units and the order of the log. Numbers"
        " must be finite. What the log held:\n\n" + table(["column", "name", "lowest", "mean", "highest"], rows)
    )
    if not document["history"]:
        return text + "\n\nThe policy sees this observation only; it remembers nothing."
    k, o, a = document["history"], document["obs_dim"], document["action_dim"]
    layout = [
        [f"0 to {k * o - 1}", f"the last {k} observations, the latest first ({o} a step)"],
        [
            f"{k * o} to {k * (o + a) - 1}",
            f"the last {k} actions, the latest first ({a} a step), scaled to -1 and 1 at the bounds",
        ],
        [str(k * (o + a)), "1 within an episode; 0 begins one, and then nothing else of the memory is read"],
    ]
    return (
        f"{text}\n\n`memory`, float32 `[batch, {document['memory_dim']}]`: zeros at the beginning of an episode,"
        " and then what the last call returned as `next_memory`. Where another action was played than the one returned,"
        " put that one, scaled to [-1, 1], in its place.\n\n" + table(["columns of memory", "what"], layout)
    )


def outputs(document: Document) -> str:
    """Action with its bounds, and what comes with it."""
    bounds = zip(document["action_low"], document["action_high"], strict=True)
    rows = [[f"{i}", number(low), number(high)] for i, (low, high) in enumerate(bounds)]
    lines = [f"- `action`, float32 `[batch, {document['action_dim']}]`, in the environment's units, inside its bounds."]
    if document["flag"]["missing"] is None:
        lines.append("- `uncertainty`, float32 `[batch]`, and `out_of_distribution`, bool `[batch]`: see below.")
    if document["history"]:
        lines.append(f"- `next_memory`, float32 `[batch, {document['memory_dim']}]`: for the next call.")
    return "## Output\n\n" + "\n".join(lines) + "\n\n" + table(["action", "lower bound", "upper bound"], rows)


def usage(document: Document) -> str:
    """A program that loads the file and asks it once, or through two steps of an episode where it has a memory."""
    size = document["obs_dim"]
    lines = [LOADING[document["format"]] + "\n", f"obs = np.zeros((1, {size}), np.float32)  # the system's observation"]
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
