"""`orl evaluate --video`: states are set as observed, predictions re-anchored, and files hold what was drawn."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from made_ensemble import constant_ensemble, linear_ensemble
from PIL import Image, ImageSequence

from orl.errors import MissingError, UnwritableError, UsageError
from orl.evaluation.episodes import EnvSpec
from orl.runs import video, video_backend, video_file
from orl.runs.fit_model import FittedModel
from orl.runs.video_backend import choose_backend, opens
from orl.runs.video_file import check_format, stride, write_video
from orl.runs.video_model import Imagined
from orl.runs.video_picture import LINE, PLOT, SIDE, TITLE, Curve, picture
from orl.runs.video_scene import Scene, drawn
from orl.runs.video_states import state_setter
from orl.types import Spec

MUJOCO = ["Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "InvertedPendulum-v5"]


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "MountainCarContinuous-v0", *MUJOCO])
def test_an_environment_set_to_an_observation_shows_it(env_id: str) -> None:
    if env_id in MUJOCO:
        pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'orl[mujoco]'")
    real, twin = (gymnasium.make(env_id) for _ in range(2))
    set_state = state_setter(twin)
    assert set_state is not None
    real.reset(seed=1)
    twin.reset(seed=2)
    real.action_space.seed(3)
    for _ in range(7):
        action = real.action_space.sample()
        obs = real.step(action)[0]
    set_state(twin, real, obs, action)
    bare = twin.unwrapped
    seen = bare._get_obs() if hasattr(bare, "_get_obs") else np.asarray(bare.state)
    count = len(obs) if env_id != "Ant-v5" else 27  # contact forces are no part of the state
    np.testing.assert_allclose(seen[:count], obs[:count], atol=1e-6)
    if env_id == "Hopper-v5":
        np.testing.assert_array_equal(bare.data.qpos, real.unwrapped.data.qpos)  # its place along the track too
        assert bare.data.qpos[0] != 0.0
    real.close()
    twin.close()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Reacher-v5", "InvertedDoublePendulum-v5"])
def test_others_cannot_be_set(env_id: str) -> None:
    if env_id != "CartPole-v1":
        pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'orl[mujoco]'")
    env = gymnasium.make(env_id)
    assert state_setter(env) is None
    env.close()


def imagined(every: int) -> Imagined:
    """A model of s' = 2.5 s (the mean of its elites' 2 and 3) and reward s."""
    ensemble, params = linear_ensemble((2.0, 3.0, 9.0), 1.0, (0, 1))
    return Imagined(FittedModel(ensemble, params, "never", Path()), every)


def test_the_model_is_on_its_own_between_looks_at_the_truth() -> None:
    model, action = imagined(3), np.zeros(1, np.float32)
    truth = np.ones(1, np.float32)
    found = [(model.after(truth, action), model.ahead) for _ in range(5)]
    assert [float(expected[0]) for (expected, _), _ in found] == pytest.approx([2.5, 6.25, 15.625, 2.5, 6.25], rel=1e-5)
    assert [reward for (_, reward), _ in found] == pytest.approx([1.0, 2.5, 6.25, 1.0, 2.5], rel=1e-5)
    assert [ahead for _, ahead in found] == [1, 2, 3, 1, 2]
    assert model.anchors == [0, 3]
    model.begin()
    assert float(model.after(2 * truth, action)[0][0]) == pytest.approx(5.0, rel=1e-5)
    assert (model.ahead, model.anchors) == (1, [0])


def test_errors_are_in_units_of_the_datas_spread() -> None:
    ensemble, params = constant_ensemble(np.zeros((2, 3)), np.zeros((2, 3)), (0,), (0.5, 4.0, 1.0))
    model = Imagined(FittedModel(ensemble, params, "never", Path()), 1)
    expected, truth = np.array([1.0, 8.0], np.float32), np.array([0.0, 4.0], np.float32)
    assert model.error(expected, truth) == pytest.approx(np.sqrt((2.0**2 + 1.0**2) / 2))
    assert model.error(expected * np.float32(np.nan), truth) == float("inf")
    assert model.worst(expected, truth) == 0  # 2 spreads, though the other is further off in its own units


@pytest.mark.parametrize(
    ("name", "fps", "every"),
    [("a.gif", 30, 1), ("a.gif", 125, 4), ("a.MP4", 50, 1), ("a.mp4", 125, 3), ("a.gif", 5, 1)],
)
def test_frames_are_left_out_where_a_file_cannot_be_so_fast(name: str, fps: float, every: int) -> None:
    assert stride(Path(name), fps) == every


def test_an_unknown_ending_and_a_missing_ffmpeg_are_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"film\.avi: the ending says the format: \.mp4 or \.gif"):
        check_format(Path("film.avi"))
    monkeypatch.setattr(video_file, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'orl\[video\]'; or choose \.gif"):
        check_format(Path("film.mp4"))
    check_format(Path("film.gif"))


def squares(count: int, fail_at: int = -1) -> Iterator[Image.Image]:
    """Grey frames of 64 x 48, each brighter than the one before."""
    for index in range(count):
        if index == fail_at:
            raise MissingError("cannot be drawn")
        yield Image.new("RGB", (64, 48), (40 * index % 256,) * 3)


def test_a_gif_holds_the_frames_and_repeats(tmp_path: Path) -> None:
    assert write_video(tmp_path / "new" / "a.gif", squares(5), 25.0) == 5
    found = Image.open(tmp_path / "new" / "a.gif")
    frames = [np.asarray(frame.convert("RGB"))[0, 0, 0] for frame in ImageSequence.Iterator(found)]
    assert frames == [0, 40, 80, 120, 160]
    assert (found.size, found.info["duration"], found.info["loop"]) == ((64, 48), 40, 0)


@pytest.mark.filterwarnings("ignore:os.fork")  # by the reader, which starts its program so
def test_an_mp4_holds_the_frames(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg: pip install 'orl[video]'")
    assert write_video(tmp_path / "a.mp4", squares(5), 10.0) == 5
    reader = ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    about = next(reader)
    frames = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    assert (about["size"], about["fps"], about["codec"]) == ((64, 48), 10.0, "h264")
    assert frames == pytest.approx([0, 40, 80, 120, 160], abs=4)


@pytest.mark.parametrize(
    ("told", "error", "says"),
    [
        ("No space left on device", UnwritableError, "free some space"),
        ("bad codec\nmore", MissingError, "it: bad codec"),
    ],
)
def test_what_ffmpeg_says_is_told(
    told: str, error: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that reads nothing and fails stands in for it."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\nprintf '{told}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(video_file, "ffmpeg", lambda: str(program))
    with pytest.raises(error, match=says):
        write_video(tmp_path / "a.mp4", squares(200), 10.0)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_film_that_fails_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    if name == "a.mp4":
        pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg: pip install 'orl[video]'")
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(MissingError):
        write_video(tmp_path / name, squares(5, fail_at=3), 10.0)
    assert (tmp_path / name).read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_half_a_film_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, frames: Iterator[Image.Image], fps: float) -> int:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(video_file, "_write_gif", half)
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.gif", squares(5), 10.0)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_has_panels_lines_and_a_curve() -> None:
    red, blue = (np.full((100, 200, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = np.asarray(picture([("real", red), ("model", blue)], ["one", "two"], Curve([0.0, 0.4], [0], 4)))
    assert sheet.shape == (TITLE + SIDE + 2 * LINE + PLOT, 2 * SIDE, 3)
    assert not any(side % 2 for side in sheet.shape[:2])
    middle = TITLE + SIDE // 2
    assert sheet[middle, SIDE // 2].tolist() == [255, 0, 0]
    assert sheet[middle, SIDE + SIDE // 2].tolist() == [0, 0, 255]
    assert sheet[TITLE + 10, SIDE // 2].tolist() == [255, 255, 255]  # a wide frame, as large as it fits
    assert sheet[middle, 2].tolist() == [255, 0, 0]
    assert picture([("real", red)], ["one"]).size == (SIDE, TITLE + SIDE + LINE)
    assert [Curve(errors, [], 4).top for errors in ([0.0, 0.4], [0.01], [0.3, float("inf")])] == [0.4, 0.1, 0.3]
    assert picture([("model", blue)], [], Curve([0.3, float("inf")], [0], 4)).size == (SIDE, TITLE + SIDE + PLOT)


class Still:
    """A policy that pushes with +1."""

    name = "still"

    def __call__(self, obs: Any, reward: Any = None) -> Any:
        return np.ones((len(obs), 1), np.float32)

    def reset(self, rows: Any = None) -> None:
        return


def test_an_episode_is_played_with_the_history_that_the_model_sees() -> None:
    env = gymnasium.make("Pendulum-v1")
    scene = Scene("Pendulum-v1", env, Still(), Spec(3, 1, (-2.0,), (2.0,), 1), (), 200)  # type: ignore[arg-type]
    shots = [*scene.play(5)]
    again = gymnasium.make("Pendulum-v1")
    obs, past = again.reset(seed=5)[0], None
    for shot in shots:
        acted = 0.0 if past is None else 0.5  # 1 of bounds of 2
        np.testing.assert_allclose(shot.before, [*obs, *(obs if past is None else past), acted], rtol=1e-6)
        past, (obs, reward, *_) = obs, again.step(np.ones(1, np.float32))
        assert shot.reward == pytest.approx(reward)
        np.testing.assert_array_equal(shot.after, obs)
    assert [shot.last for shot in shots] == [False] * 199 + [True]
    assert scene.returns == [pytest.approx(sum(shot.reward for shot in shots))]


def failing(text: str) -> Callable[[], Any]:
    """A render function that fails so."""

    def render() -> Any:
        raise RuntimeError(text)

    return render


@pytest.mark.parametrize(
    ("render", "says"),
    [
        (lambda: None, "P-v1 draws no pictures, so there is nothing to film"),
        (lambda: np.zeros((4, 4)), "P-v1 draws no pictures"),
        (failing("no GL\ntraceback"), "P-v1 cannot be drawn here: no GL; MuJoCo needs: apt-get install libegl1"),
        (failing("no pygame"), "P-v1 cannot be drawn here: no pygame; pip install 'orl[video]'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(render: Callable[[], Any], says: str) -> None:
    with pytest.raises(MissingError) as raised:
        drawn(SimpleNamespace(render=render), "P-v1")
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere MuJoCo's own choice is right")
def test_the_backend_that_works_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert choose_backend() == "osmesa"  # as the user says, unasked
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(video_backend, "opens", lambda backend: backend == "osmesa")
    assert choose_backend() == os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(video_backend, "opens", lambda backend: False)
    with pytest.raises(MissingError, match="neither EGL nor OSMesa works"):
        choose_backend()
    assert "MUJOCO_GL" not in os.environ
    monkeypatch.setenv("DISPLAY", ":0")
    assert choose_backend() is None


def test_a_backend_that_is_not_there_does_not_open() -> None:
    assert not opens("nothing")


def test_mujoco_is_drawn_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'orl[mujoco]'")
    try:
        spec = video.drawing(EnvSpec("Hopper-v5"))
    except MissingError as error:
        pytest.skip(str(error))
    env = gymnasium.make(spec.env_id, **spec.kwargs)
    env.reset(seed=0)
    frame = drawn(env, spec.env_id)
    env.close()
    assert frame.shape == (SIDE, SIDE, 3)
    assert frame.std() > 10  # not a black screen


def test_the_program_films_the_episode_that_it_evaluates(
    orl: Callable[..., Any], mopo: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pygame", reason="needs pygame: pip install 'orl[video]'")
    target = tmp_path / "a.gif"
    words = ["--seed", 4, "--no-bc", "--runs", root, "--video", target, "--anchor-every", 40]
    done = orl("evaluate", mopo["run"], "--episodes", 2, *words, "--json")
    assert done.code == 0, done.err
    found = done.document["video"]
    assert (found["file"], found["frames"], found["fps"], found["episodes"]) == (str(target), 200, 30.0, 1)
    assert found["returns"] == pytest.approx(done.document["returns"][0][:1], rel=1e-4)
    assert (found["model"], found["anchor_every"]) == (True, 40)
    assert 0 < found["error"] < 10
    film = Image.open(target)
    assert film.size == (2 * SIDE, TITLE + SIDE + 3 * LINE + PLOT)
    assert sum(film.seek(index) or film.info["duration"] for index in range(film.n_frames)) == 200 * 30


def test_a_policy_without_a_model_is_shown_alone(
    orl: Callable[..., Any], cloned: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pygame", reason="needs pygame: pip install 'orl[video]'")
    done = orl("evaluate", cloned["run"], "--episodes", 1, "--runs", root, "--video", tmp_path / "a.gif")
    assert done.code == 0, done.err
    assert "note: bc has no model; the environment is shown alone" in done.err
    assert "200 frames at 30 a second" in done.out
    assert Image.open(tmp_path / "a.gif").size == (SIDE, TITLE + SIDE + LINE)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--video", "a.avi"], "the ending says the format"),
        (["--anchor-every", 5], "belong to --video"),
        (["again", "--video", "a.gif"], "films one run"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_played(
    orl: Callable[..., Any], words: list[Any], says: str
) -> None:
    done = orl("evaluate", "nowhere", *words)
    assert (done.code, says in done.err) == (2, True)
