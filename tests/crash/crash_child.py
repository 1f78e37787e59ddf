"""A process that forks `orl` commands and kills them where it is told to.

It reads one job a line from stdin, as JSON, and answers with one line. Forking after the imports saves each command the
two seconds that they take. A command is killed by SIGKILL, either after so many seconds, or at its n-th call of the
system that changes names or puts files on disk below its folder: just before the call, or just after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("replace", "rename", "fsync", "mkdir", "unlink")


def main() -> None:
    """Answer jobs until stdin ends."""
    import jax  # noqa: F401
    import minari  # noqa: F401
    import orbax.checkpoint  # noqa: F401

    import orl.runs.tune  # noqa: F401
    import orl_cli.main  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job: `words` in `folder`; its `status` (minus the signal if killed), `seconds` and `calls`."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        become(job)
    status = None
    while status is None:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif job.get("seconds") is not None and time.monotonic() - began >= job["seconds"]:
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            time.sleep(0.001)
    counted = Path(job["folder"] + ".calls")
    calls = int(counted.read_text()) if counted.exists() else 0
    return {"status": status, "seconds": time.monotonic() - began, "calls": calls}


def become(job: dict[str, Any]) -> None:
    """Be the command, in the child; does not return."""
    for number, name in ((0, os.devnull), (1, job["folder"] + ".out"), (2, job["folder"] + ".err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)  # what Python's streams write to
    os.chdir(job["folder"])
    if job.get("datasets"):
        os.environ["MINARI_DATASETS_PATH"] = job["datasets"]
    counter = watch_calls(Path(job["folder"]), job.get("call"))
    code = 1
    try:
        from orl_cli.main import app

        app(job["words"])
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        Path(job["folder"] + ".calls").write_text(str(counter[0]))
        os._exit(code)


def watch_calls(folder: Path, kill_at: int | None) -> list[int]:
    """Count the calls below `folder` in the list returned; SIGKILL at half-step `kill_at`.

    Call number n (from 0) has the half-steps 2 n, before it, and 2 n + 1, after it.
    """
    counter = [0]

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            if not below(folder, arguments[0]):
                return call(*arguments, **options)
            number = counter[0]
            counter[0] += 1
            if kill_at == 2 * number:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if kill_at == 2 * number + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))
    return counter


def below(folder: Path, target: Any) -> bool:
    """Whether a path, or the file behind a descriptor, lies below `folder`."""
    try:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.path.abspath(target)
    except (OSError, TypeError):
        return False
    return Path(path).is_relative_to(folder)


if __name__ == "__main__":
    main()
