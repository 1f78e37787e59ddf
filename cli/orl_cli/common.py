"""What every command shares: option types, the machine's set-up, and errors turned into one line and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from orl.errors import (
    DataError,
    Interrupted,
    MissingError,
    OrlError,
    UnwritableError,
    UsageError,
    is_out_of_memory,
)
from orl.files import FULL, unwritable
from orl_cli.console import error_line, plain
from orl_cli.signals import interruptible

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_ROOT = Path("runs")
DEFAULT_DATASET = "orl/pendulum/mixed-v0"
DEFAULT_ALGORITHM = "mopo"
LONGEST = 1000  # characters of a message on stderr
# no sums in changing order, and no kernels chosen by measured time
DETERMINISTIC = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"


class OnDivergence(StrEnum):
    """What to do when a tensor is not finite."""

    stop = "stop"
    rollback = "rollback"


class TrackerName(StrEnum):
    """Where metrics can go beside metrics.jsonl."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


Trackers = Annotated[
    list[TrackerName] | None,
    typer.Option("--tracker", help="Send metrics there too; repeatable. Each needs the extra of its name."),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        help="Dataset id, or path of a D4RL .hdf5 or NeoRL .npz file.",
        show_default=DEFAULT_DATASET,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run that is already in the folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print settings, memory, speed and time, and stop.")]
Probe = Annotated[
    bool, typer.Option("--probe/--no-probe", help="With --dry-run: time a few updates, for speed and time to finish.")
]
Root = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.", envvar="ORL_RUNS")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Run folder; by default named after the dataset and the work.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
History = Annotated[
    int | None,
    typer.Option(
        "--history",
        min=0,
        help="Stack the last so many observations and actions on top of the current one.",
        show_default="0, or the model's",
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, such as agent.penalty_coef=2.5; repeatable.")
]
TrustEnv = Annotated[
    bool, typer.Option("--trust-env", help="Make the data's environment as recorded, running the code that it names.")
]
WhenDiverged = Annotated[
    OnDivergence,
    typer.Option(
        "--on-divergence",
        help="When something is not finite: stop, or go back to the last checkpoint and on, once, at lower rates.",
    ),
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Same seed, same bytes, on a GPU too (slower there; on CPU always).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, gpu or tpu.")]


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Run a command; an error the user can cause becomes one line on stderr and its exit code.

    With `--debug` the traceback is shown as well. An error nobody foresaw keeps its traceback and exits with 1.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        warnings.showwarning = _show_warning
        try:
            with interruptible():
                return command(*args, **kwargs)
        except OrlError as error:
            if kwargs.get("debug"):
                traceback.print_exc()
            error_line(_told(error, kwargs))
            raise typer.Exit(error.exit_code) from None
        except (MemoryError, RuntimeError) as error:  # jax raises the latter
            if not is_out_of_memory(error):
                raise
            if kwargs.get("debug"):
                traceback.print_exc()
            error_line("out of memory; where the command has --dry-run, it shows what takes how much")
            raise typer.Exit(UsageError.exit_code) from None
        except KeyboardInterrupt:
            error_line("interrupted; what was saved before is kept, and the same command goes on")
            raise typer.Exit(Interrupted.exit_code) from None
        except OSError as error:
            if error.errno not in (*FULL, errno.EROFS):
                raise
            error_line(str(unwritable(Path(error.filename or "the results"), error)))
            raise typer.Exit(UnwritableError.exit_code) from None

    return run


def _told(error: OrlError, options: Mapping[str, Any]) -> str:
    """The message, with the file of settings that were given where these may be at fault and it is not named.

    Its middle is left out where it is long: it may show a value from a file.
    """
    text, file = plain(str(error)), options.get("config") or options.get("mapping")
    told = (UsageError,) if options.get("config") else (UsageError, DataError)  # a mapping also says which log is read
    if type(error) in told and file is not None and str(file) not in text:
        text += f" (settings: {file})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _show_warning(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
    if issubclass(category, UserWarning):
        error_line(f"note: {message}")


def set_up_machine(device: str = "auto", *, deterministic: bool = False) -> None:
    """Choose the device and switch the persistent compilation cache on. Imports jax.

    Args:
        deterministic: have XLA compile only what gives the same bits in every run, on a GPU too (on a CPU it does so
            anyway). It listens until its first device is in use, so this must come before.

    Raises:
        UsageError: no such kind of device. MissingError: none of that kind here.
    """
    if deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    import jax

    if device not in ("auto", "cpu", "gpu", "tpu"):
        raise UsageError(f"--device {device}: expected auto, cpu, gpu or tpu")
    if device != "auto":
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(device, device))
        try:
            jax.devices()
        except (RuntimeError, AssertionError):  # jax asserts where the platform is unknown to it
            extra = {"gpu": "cuda"}.get(device, device)
            raise MissingError(
                f"no {device} found by jax; install its support with: pip install 'orl[{extra}]'"
            ) from None
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(compilation_cache()))
    # every program: a start has some sixty small ones, which take a second to compile together
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def compilation_cache() -> Path:
    """The folder of compiled programs."""
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "orl" / "xla"


def overrides(config: Path | None, assignments: list[str] | None, **flags: Any) -> dict[str, Any]:
    """`--config`, `--set` and the flags that were given (not None) as one tree, each on top of the one before."""
    from orl.config import merge, parse_assignment, read_toml

    tree = read_toml(config) if config else {}
    for assignment in assignments or []:
        tree = merge(tree, parse_assignment(assignment))
    return merge(tree, {key: value for key, value in flags.items() if value is not None})


def stamp(began: float, run: str | list[str] | None = None) -> dict[str, Any]:
    """What every JSON document starts with; `began` is a reading of `time.perf_counter`."""
    from orl.runs.directory import SCHEMA, versions

    return {"schema": SCHEMA, "run": run, "seconds": time.perf_counter() - began, "versions": versions()}
