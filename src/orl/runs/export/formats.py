"""An exported policy's files: written, opened again by the runtime they are for, and timed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.deployment import numpy_policy
from orl.deployment.description import Description, arrays_of
from orl.deployment.onnx_graph import OPSET, onnx_bytes
from orl.deployment.reference import Deployed
from orl.deployment.stablehlo import PLATFORMS, stablehlo_bytes
from orl.errors import MissingError, UsageError
from orl.files import saving

Answers = dict[str, NDArray]
Runner = Callable[..., Answers]  # (obs [B, O], and with a history memory [B, M]) -> outputs by name

BATCH = 1000  # rows of a call; the last call has what is left
SINGLES = 100  # rows that are also asked one by one: products of one row may take other kernels
WARM_UP, CALLS = 50, 1000  # calls before, and of, the measurement of latency


class Runtime(NamedTuple):
    """A file opened again: `run` answers, `versions` are those of what runs it, `settings` what its card has to say."""

    run: Runner
    versions: dict[str, str]
    settings: dict[str, Any]


class Format(NamedTuple):
    """A format: its files, the first one to be opened, and how it is written into a folder and opened again."""

    files: tuple[str, ...]
    write: Callable[[Path, Description, Deployed, str], None]
    read: Callable[[Path], Runtime]


def _write_onnx(folder: Path, description: Description, deployed: Deployed, version: str) -> None:
    (folder / "policy.onnx").write_bytes(onnx_bytes(description, version))


def _read_onnx(folder: Path) -> Runtime:
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one observation is too little work for more
    path = str(folder / "policy.onnx")
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs, outputs = ([each.name for each in some] for some in (session.get_inputs(), session.get_outputs()))

    def run(*arrays: NDArray) -> Answers:
        return dict(zip(outputs, session.run(outputs, dict(zip(inputs, arrays, strict=True))), strict=True))

    import onnx

    versions = {"onnx": onnx.__version__, "onnxruntime": runtime.__version__}
    return Runtime(run, versions, {"opset": OPSET, "threads": 1})


def _write_stablehlo(folder: Path, description: Description, deployed: Deployed, version: str) -> None:
    (folder / "policy.stablehlo").write_bytes(stablehlo_bytes(deployed, description.spec))


def _read_stablehlo(folder: Path) -> Runtime:
    exported = jax.export.deserialize(bytearray((folder / "policy.stablehlo").read_bytes()))
    call = jax.jit(exported.call)

    def run(*arrays: NDArray) -> Answers:
        return {name: np.asarray(array) for name, array in call(*arrays).items()}

    device = jax.devices()[0].device_kind
    return Runtime(run, {"jax": jax.__version__}, {"platforms": list(PLATFORMS), "device": device})


def _write_numpy(folder: Path, description: Description, deployed: Deployed, version: str) -> None:
    np.savez(folder / "policy.npz", allow_pickle=False, **arrays_of(description))
    source = Path(numpy_policy.__file__).read_text(encoding="utf-8")
    (folder / "policy.py").write_text(source, encoding="utf-8")


def _read_numpy(folder: Path) -> Runtime:
    policy = numpy_policy.Policy(folder / "policy.npz")  # policy.py is that module, byte by byte

    def run(*arrays: NDArray) -> Answers:
        return {name: part for name, part in policy(*arrays)._asdict().items() if part is not None}

    return Runtime(run, {"numpy": np.__version__}, {})


FORMATS = {
    "onnx": Format(("policy.onnx",), _write_onnx, _read_onnx),
    "stablehlo": Format(("policy.stablehlo",), _write_stablehlo, _read_stablehlo),
    "numpy": Format(("policy.npz", "policy.py"), _write_numpy, _read_numpy),
}


def known_format(name: str) -> Format:
    """The format of this name; what writes and runs it is installed.

    Raises:
        UsageError: there is none. MissingError: its packages are not installed.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
    if name == "onnx":
        _onnxruntime()
    return FORMATS[name]


def write_files(form: Format, folder: Path, description: Description, deployed: Deployed, version: str) -> None:
    """Write the files of a format into an existing folder; an UnwritableError where that fails."""
    with saving(folder):
        form.write(folder, description, deployed, version)


def answers(run: Runner, inputs: tuple[NDArray, ...]) -> Answers:
    """What a file says of rows [N, ...], in batches; the first SINGLES rows follow once more, asked one by one."""
    count = len(inputs[0])
    calls = [run(*(x[at : at + BATCH] for x in inputs)) for at in range(0, count, BATCH)]
    calls += [run(*(x[at : at + 1] for x in inputs)) for at in range(min(SINGLES, count))]
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def latency(run: Runner, inputs: tuple[NDArray, ...]) -> dict[str, float | int]:
    """Milliseconds of a call with one row of the inputs [N, ...]: median `p50` and `p99` of so many `calls`."""
    one = [tuple(x[at : at + 1] for x in inputs) for at in range(min(SINGLES, len(inputs[0])))]
    taken = []
    for call in range(WARM_UP + CALLS):
        began = time.perf_counter_ns()
        run(*one[call % len(one)])
        taken.append((time.perf_counter_ns() - began) / 1e6)
    p50, p99 = np.quantile(taken[WARM_UP:], [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99), "calls": CALLS}


def recorded(folder: Path, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of the files."""
    contents = {name: (folder / name).read_bytes() for name in names}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return [{"name": name, "bytes": len(contents[name]), "sha256": digests[name]} for name in names]


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise MissingError(
            f"the package {error.name} is not installed; get it with: pip install 'orl[export]'"
        ) from None
    return onnxruntime
