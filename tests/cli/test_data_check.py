"""`orl data check`: what it prints, and what it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from orl.runs.directory import versions


def with_row(data: Any, name: str, row: int, value: float) -> np.ndarray:
    array = getattr(data, name).copy()
    array[row] = value
    return array


def test_a_sound_log_ends_with_0(orl: Callable[..., Any], pendulum_log: str) -> None:
    done = orl("data", "check", pendulum_log, "--strict")
    assert done.code == 0, done.out
    assert done.out.endswith("nothing found\n")
    assert "1,600, of which 1,600 were sampled" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert "…" not in done.out


def test_the_document(orl: Callable[..., Any], pendulum_log: str) -> None:
    done = orl("data", "check", pendulum_log, "--json")
    document = done.document
    assert done.code == 0
    assert (document["schema"], document["run"], document["versions"]) == (1, None, versions())
    assert (document["counts"], document["findings"]) == ({"error": 0, "warning": 0, "note": 0}, [])
    dataset = document["dataset"]
    assert (dataset["name"], dataset["rows"], dataset["episodes"]) == (pendulum_log, 1600, 8)
    assert dataset["lengths"] == {"0%": 200, "10%": 200, "50%": 200, "90%": 200, "100%": 200}
    assert (dataset["terminated"], dataset["truncated"], dataset["max_episode_steps"]) == (0, 8, 200)
    (action,) = dataset["actions"]
    assert (action["low"], action["high"]) == (-2.0, 2.0)
    assert 0 < action["spread"] < 1


def test_errors_end_with_3_and_are_all_shown(
    orl: Callable[..., Any], write_log: Callable[..., Path], pendulum_log: str, tmp_path: Path
) -> None:
    """Loading for anything else stops at the first of them."""
    from orl.data.catalog import load

    data = load(pendulum_log)
    broken = {"reward": with_row(data, "reward", 3, np.nan), "next_obs": with_row(data, "next_obs", 9, 0.5)}
    log = write_log(tmp_path / "log.npz", **broken)
    done = orl("data", "check", log, "--json")
    assert done.code == 3
    assert [(f["check"], f["where"]) for f in done.document["findings"] if f["severity"] == "error"] == [
        ("non-finite", "reward"),
        ("following rows", "row 9"),
    ]
    keys = {"check", "severity", "where", "value", "message", "advice"}
    assert all(set(finding) == keys for finding in done.document["findings"])
    assert done.document["dataset"]["finite_episodes"] == 7
    shown = orl("data", "check", log)
    assert (shown.code, "2 errors, 0 warnings" in shown.out) == (3, True)


def test_warnings_end_with_3_only_if_strict(
    orl: Callable[..., Any], write_log: Callable[..., Path], pendulum_log: str, tmp_path: Path
) -> None:
    from orl.data.catalog import load

    data = load(pendulum_log)
    constant = {
        name: np.concatenate([getattr(data, name), np.ones((len(data), 1), np.float32)], axis=1)
        for name in ("obs", "next_obs")
    }
    log = write_log(tmp_path / "log.npz", **constant)
    plain, strict = orl("data", "check", log), orl("data", "check", log, "--strict")
    assert (plain.code, strict.code) == (0, 3)
    assert "obs column 3" in plain.out
    assert "0 errors, 1 warning, " in plain.out


def test_what_cannot_be_read_is_one_line(orl: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "log.npz").write_text("not an archive")
    done = orl("data", "check", tmp_path / "log.npz", "--json")
    assert (done.code, done.out) == (3, "")
    assert "cannot be read as an .npz of plain arrays" in done.err
