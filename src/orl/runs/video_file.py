"""Pictures into a file: MP4 by ffmpeg, GIF by Pillow, by the file's ending."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from orl.documents import brief
from orl.errors import MissingError, UsageError
from orl.files import TEMPORARY, saving, storage_error

# Frames a second that are shown at most. A GIF counts in hundredths of a second, and viewers slow down fast ones.
FASTEST = {".mp4": 50.0, ".gif": 34.0}
INSTALL = "pip install 'orl[video]'"


def check_format(path: Path) -> None:
    """Refuse what could not be written in the end, before an episode is played.

    Raises:
        UsageError: another ending than .mp4 or .gif. MissingError: no ffmpeg for the one that needs it.
    """
    if path.suffix.lower() not in FASTEST:
        raise UsageError(f"--video {path}: the ending says the format: {' or '.join(FASTEST)}")
    if path.suffix.lower() == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise MissingError(f"{path}: MP4 needs ffmpeg, which is not installed: {INSTALL}; or choose .gif")


def stride(path: Path, fps: float) -> int:
    """Every how many-th frame of `fps` a second is kept, so that the file shows true time at a speed that it can."""
    return max(1, int(np.ceil(fps / FASTEST[path.suffix.lower()] - 1e-9)))


def write_video(path: Path, frames: Iterator[Image.Image], fps: float) -> int:
    """Write `frames`, all of one size with even sides, at `fps` a second; returns how many there were.

    The file appears under its name when it is whole.

    Raises:
        UnwritableError: the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write = _write_mp4 if path.suffix.lower() == ".mp4" else _write_gif
            count = write(temporary, frames, fps)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    return count


def _write_gif(path: Path, frames: Iterator[Image.Image], fps: float) -> int:
    shown = [frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]  # a third of the memory
    first, *rest = shown
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return len(shown)


def _write_mp4(path: Path, frames: Iterator[Image.Image], fps: float) -> int:
    """By a program of its own, started here: imageio-ffmpeg's starter forks, which a process that runs jax must not."""
    first, count = next(frames), 0
    size = f"{first.width}x{first.height}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{fps:g}", "-i", "-"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", str(path)]
    words = [ffmpeg(), "-y", "-loglevel", "error", *raw, *coded]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=said) as writer:
            assert writer.stdin is not None
            try:
                for frame in itertools.chain([first], frames):
                    writer.stdin.write(frame.tobytes())
                    count += 1
            except BrokenPipeError:  # it ended early: its own words say why
                pass
            except BaseException:
                writer.kill()
                raise
            finally:
                with suppress(BrokenPipeError):
                    writer.stdin.close()
        said.seek(0)
        text = said.read().decode(errors="replace")
    if writer.returncode:
        raise storage_error(text) or MissingError(f"{path.name}: ffmpeg cannot write it: {brief(text)}")
    return count


def ffmpeg() -> str:
    """The program that writes MP4 files."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())
