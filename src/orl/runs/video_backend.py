"""Drawing without a screen: pygame's way, and which of OpenGL's ways works on this machine, for MuJoCo."""

from __future__ import annotations

import os
import subprocess
import sys

from orl.errors import MissingError

OFFSCREEN = ("egl", "osmesa")  # of a graphics driver or Mesa's; by the processor alone
# Opens and closes a context. In a process of its own: a driver that fails may take the process with it.
PROBE = "from mujoco.{0} import GLContext; context = GLContext(8, 8); context.make_current(); context.free()"
SECONDS = 60.0
INSTALL = "apt-get install libegl1 libgl1-mesa-dri, or libosmesa6"


def draw_quietly() -> None:
    """Have pygame, which draws classic control, use neither screen nor sound, and say nothing on stdout."""
    for name, value in (
        ("SDL_VIDEODRIVER", "dummy"),
        ("SDL_AUDIODRIVER", "dummy"),
        ("PYGAME_HIDE_SUPPORT_PROMPT", "1"),
    ):
        os.environ.setdefault(name, value)


def choose_backend() -> str | None:
    """Have MuJoCo draw by what works here, and return its name; None where the choice is left to it.

    A choice that the user made (MUJOCO_GL) is kept. Off Linux, and where there is a screen, MuJoCo's own is right.

    Raises:
        MissingError: there is neither a screen nor a library to draw without one.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if chosen or not sys.platform.startswith("linux"):
        return chosen
    for backend in OFFSCREEN:
        if opens(backend):
            os.environ["MUJOCO_GL"] = backend
            return backend
    if os.environ.get("DISPLAY"):
        return None
    raise MissingError(f"MuJoCo cannot draw here: no screen, and neither EGL nor OSMesa works; {INSTALL}")


def opens(backend: str) -> bool:
    """Whether `backend` opens an OpenGL context in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    words = [sys.executable, "-c", PROBE.format(backend)]
    try:
        done = subprocess.run(
            words, env=environment | {"MUJOCO_GL": backend}, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
