"""Manners of `orl`: results on stdout, the rest on stderr, quick help, hints for typing errors."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_settings import TINY_AGENT, TINY_MODEL, TINY_ROLLOUT, TINY_SEQUENCE, settings

TINY = ["agent.hidden=[8]", "agent.batch_size=16", "train.epoch_steps=10", "train.eval_episodes=1"]
OPTIONS = [word for assignment in TINY for word in ("--set", assignment)]


def test_help_is_there_without_jax(sandbox: Path) -> None:
    """Every command's help in one process, and nothing heavy imported for it."""
    code = """
import sys
from typer.main import get_command
from typer.testing import CliRunner
from orl_cli.main import app

def names(command, before=""):
    yield before.strip()
    for name, each in getattr(command, "commands", {}).items():
        yield from names(each, f"{before} {name}")

helped = list(names(get_command(app)))
assert {"", "fit-model", "export", "data import"} <= set(helped), helped
for words in helped:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0 and "Usage: orl" in result.output, words
heavy = {"jax", "flax", "numpy", "gymnasium", "orl.runs.fit_model"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_json_is_all_there_is_on_stdout_of_the_program(pendulum_log: str, tmp_path: Path) -> None:
    """In a process of its own, so that no library's print goes unnoticed; no colours, progress on stderr."""
    import json

    words = ["train-policy", "-a", "bc", "-d", pendulum_log, "--steps", "20", "--runs", str(tmp_path), *OPTIONS]
    done = subprocess.run([sys.executable, "-m", "orl_cli.main", *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 20
    assert "training bc: 2/2 epochs" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_version(orl: Callable[..., Any]) -> None:
    from importlib.metadata import version

    assert orl("--version").out == f"orl {version('orl')}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train-polcy"], "Did you mean 'train-policy'?"),
        (["train-policy", "--seedz", "1"], "--seed"),
        (["train-policy", "--algo", "mopoo"], "unknown algorithm 'mopoo'; did you mean mopo?"),
        (["train-policy", "--set", "agent.penalty_coeff=2"], "agent.penalty_coeff; did you mean penalty_coef?"),
        (["train-policy", "--set", "modell.members=2"], "unknown setting modell; did you mean model?"),
        (["fit-model", "--set", "model.patiens=2"], "unknown setting model.patiens; did you mean patience?"),
        (["fit-model", "--set", "model.termination='hoper'"], "no termination rule is called 'hoper'"),
        (["train-policy", "--set", "agent.penalty_coef=-1"], "agent.penalty_coef = -1: input should be greater"),
        (["train-policy", "--set", "agent=3"], "setting agent is a table of settings, not 3"),
        (["train-policy", "--set", "seeds=[]"], "setting seeds"),
        (["train-policy", "--set", "penalty"], "--set penalty: expected key=value"),
        (["train-policy", "--config", "absent.toml"], "cannot read the settings file absent.toml"),
        (["train-policy", "--seeds", "3:3"], "--seeds 3:3: names no seeds"),
        (["train-policy", "--seeds", "0,0"], "--seeds 0,0: names no seeds, a negative one, or one twice"),
        (["train-policy", "--seeds", "a:b"], "--seeds a:b: expected a range such as 0:3"),
        (["train-policy", "--seed", "1", "--seeds", "0:2"], "give --seed or --seeds, not both"),
        (["train-policy", "--seed-axis", "scan"], "setting seed_axis = 'scan': input should be 'vmap' or 'map'"),
        (["train-policy", "--device", "abacus"], "--device abacus: expected auto, cpu, gpu or tpu"),
        (["evaluate"], "Missing argument"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, words: list[str], hint: str
) -> None:
    if words[0] in ("fit-model", "train-policy"):
        words = [*words, "--runs", str(tmp_path / "runs"), "-d", pendulum_log]
    done = orl(*words)
    assert done.code == 2
    assert done.out == ""
    assert hint in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif("__import__('jax').default_backend() != 'cpu'", reason="needs a machine without a GPU in use")
def test_a_device_that_is_not_there_ends_with_5(sandbox: Path) -> None:
    words = ["train-policy", "--device", "tpu"]
    done = subprocess.run([sys.executable, "-m", "orl_cli.main", *words], capture_output=True, text=True)
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == (
        "orl: no tpu found by jax; install its support with: pip install 'orl[tpu]'"
    )
    assert "Traceback" not in done.stderr


def test_quiet_says_nothing_and_the_result_is_on_stdout(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path
) -> None:
    words = ["train-policy", "-a", "bc", "-d", pendulum_log, "--steps", 20, *OPTIONS]
    loud = orl(*words, "--out", tmp_path / "loud")
    quiet = orl(*words, "--out", tmp_path / "quiet", "--quiet")
    assert (loud.code, quiet.code, quiet.err) == (0, 0, "")
    assert "training bc: 2/2 epochs" in loud.err
    first, score, per_seed, last = quiet.out.splitlines()
    assert first.startswith(f"bc on {pendulum_log}: 20 updates at ")
    assert score.startswith("score -") and score.endswith(" over 1 episodes a seed")  # noqa: PT018
    assert per_seed.startswith("seeds [0]: -")
    assert last == f"run: {tmp_path}/quiet    next: orl evaluate {tmp_path}/quiet"


def test_what_nothing_can_play_is_judged_by_the_log(orl: Callable[..., Any], plain_log: Path, tmp_path: Path) -> None:
    done = orl("train-policy", "-a", "bc", "-d", plain_log, "--steps", 20, "-q", "--out", tmp_path / "bc", *OPTIONS)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"run: {tmp_path}/bc    next: orl ope {tmp_path}/bc"


def test_an_error_is_one_line_and_debug_adds_the_traceback(orl: Callable[..., Any], tmp_path: Path) -> None:
    plain, debug = (orl("runs", "show", tmp_path, *more) for more in ([], ["--debug"]))
    assert plain.err == f"orl: {tmp_path} is not a run folder (no run.json); `orl runs list` shows those there are\n"
    assert (plain.code, debug.code) == (3, 3)
    assert debug.err.startswith("Traceback")
    assert debug.err.endswith(plain.err)


def test_dry_run_prints_the_settings_and_writes_nothing(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path
) -> None:
    import tomllib

    words = ["-d", pendulum_log, "--runs", tmp_path, "--dry-run", "--no-probe", "--set", "model.members=9"]
    policy = orl("train-policy", "-a", "combo", "--seeds", "2:4", *words, "--steps", 5000)
    resolved = tomllib.loads(policy.out)
    assert (resolved["algorithm"], resolved["seeds"]) == ("combo", [2, 3])
    assert (resolved["model"]["members"], resolved["train"]["steps"]) == (9, 5000)
    # settings other than the presets' get a folder of their own
    folder = rf"{tmp_path}/tiny-pendulum-v0/combo-s2-3-[0-9a-f]{{8}}"
    first, *plan = policy.err.splitlines()
    assert re.fullmatch(rf"orl: presets: default/all\.toml; the run would go to {folder}", first)
    assert plan[0].strip() == "memory of training combo"
    assert max(map(len, plan)) <= 80
    assert re.fullmatch(r"orl: [\d.]+ [MG]B of memory needed, .+ has [\d.]+ GB", plan[-1])
    plain = orl("train-policy", "-a", "combo", "--seeds", "2:4", *words[:-2], "--json").document
    assert plain["run"] == f"{tmp_path}/tiny-pendulum-v0/combo-s2-3"
    assert plain["config"]["seeds"] == [2, 3]
    lines = {line["name"]: line for line in plain["plan"]["lines"]}
    buffer = 50_000 * 5 * 5 * 9 * 4 + 8  # branches, steps, epochs; obs, action, reward, next_obs, terminated; its head
    assert (lines["rollout buffer"]["bytes"], lines["rollout buffer"]["total"]) == (buffer, 2 * buffer)
    assert (plain["plan"]["seeds"], plain["plan"]["estimate"]) == (2, None)
    assert plain["plan"]["memory"][0]["needed"] == sum(line["total"] for line in lines.values())
    model = tomllib.loads(orl("fit-model", "--seed", 3, *words).out)
    assert (model["seed"], model["model"]["members"], model["model"]["elites"]) == (3, 9, 5)
    assert list(tmp_path.iterdir()) == []


def test_dry_run_times_a_few_updates(orl: Callable[..., Any], pendulum_log: str, tmp_path: Path) -> None:
    """Of a policy of two seeds, of an ensemble, which ends when it will, and of a transformer; nothing is written."""
    common = ["-d", pendulum_log, "--runs", tmp_path, "--dry-run", "--json"]
    agent = ["--seeds", "0:2", "--steps", 40, *settings(TINY_AGENT, TINY_MODEL, TINY_ROLLOUT)]
    policy = orl("train-policy", "-a", "mopo", *common, *agent).document["plan"]["estimate"]
    assert policy["steps_per_second"] == pytest.approx(10 * 2 / policy["epoch_seconds"])
    assert policy["seconds"] == pytest.approx(4 * policy["epoch_seconds"])
    assert policy["left_out"] == ["compilation", "evaluations", "the fit of its model"]
    ensemble = orl("fit-model", *common, *settings(TINY_MODEL)).document["plan"]["estimate"]
    assert (ensemble["epochs"], ensemble["seconds"]) == (None, None)
    assert ensemble["epoch_seconds"] > 0
    sequence = orl("fit-model", "-k", "transformer", *common, *settings(TINY_SEQUENCE)).document["plan"]["estimate"]
    assert sequence["seconds"] == pytest.approx(2 * sequence["epoch_seconds"])
    assert list(tmp_path.iterdir()) == []


def test_dry_run_shows_what_a_plan_takes(orl: Callable[..., Any], pendulum_log: str, tmp_path: Path) -> None:
    done = orl("plan", "-d", pendulum_log, "--runs", tmp_path, "--dry-run", "--json", *settings(TINY_SEQUENCE))
    assert [line["name"] for line in done.document["plan"]["lines"]][1:] == ["dataset on the host", "model"]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_says_what_is_wrong_with_the_data_after_the_settings(orl: Callable[..., Any], tmp_path: Path) -> None:
    import tomllib

    done = orl("train-policy", "-d", tmp_path / "absent.npz", "--runs", tmp_path, "--dry-run")
    assert done.code == 3
    assert tomllib.loads(done.out)["algorithm"] == "mopo"
    assert done.err.splitlines()[-1].startswith(f"orl: no file {tmp_path}/absent.npz")


def test_dry_run_refuses_a_beginning_that_the_run_would_refuse(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path
) -> None:
    """bc of a hidden layer of 8 for an actor of one of 16; and what is no run at all."""
    clone = tmp_path / "clone"
    words = ["-d", pendulum_log, "--runs", tmp_path, "--steps", 20]
    assert orl("train-policy", "-a", "bc", *words, "--out", clone, "-q", *OPTIONS).code == 0
    there = sorted(tmp_path.rglob("*"))
    for init, code, what in ((clone, 2, "agent.hidden"), (tmp_path / "absent", 3, "is not a run folder")):
        more = [*words, "--init", init, "--set", "agent.hidden=[16]"]
        for dry in ([], ["--dry-run", "--no-probe"]):
            done = orl("train-policy", "-a", "cql", *more, *dry)
            assert done.code == code
            assert what in done.err.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == there


def test_a_run_that_cannot_fit_ends_with_2_before_it_starts(
    orl: Callable[..., Any], pendulum_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orl.runs import machine

    monkeypatch.setattr(machine, "host_memory", lambda: 10**9)
    monkeypatch.setattr(machine, "device_memory", lambda: 10**9)
    words = ["train-policy", "-a", "mopo", "-d", pendulum_log, "--runs", tmp_path]
    words += settings(TINY_MODEL, TINY_AGENT, ["agent.rollout_batch=10000000"])
    planned = orl(*words, "--dry-run", "--no-probe")
    assert planned.code == 0
    assert planned.err.splitlines()[-1].endswith("has 1 GB: DOES NOT FIT")
    done = orl(*words)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert "lower agent.rollout_batch, agent.rollout_length, agent.retain_epochs" in done.err
    assert list(tmp_path.iterdir()) == []


def test_flags_win_over_set_and_set_over_the_file_and_what_is_not_given_wins_over_nothing(
    orl: Callable[..., Any], pendulum_log: str, plain_log: Path, tmp_path: Path
) -> None:
    """A run's config.toml repeats that run: dataset, algorithm and seeds come from it unless a flag says otherwise."""
    import tomllib

    file = tmp_path / "some.toml"
    file.write_text(
        f'dataset = "{plain_log}"\nalgorithm = "cql"\nseeds = [4, 5]\nseed_axis = "map"\n'
        "[train]\nsteps = 70\nepoch_steps = 7\n[agent]\ndiscount = 0.9\n"
    )
    words = ["train-policy", "--config", file, "--runs", tmp_path, "--dry-run", "--no-probe"]

    def resolved(*more: object) -> dict[str, Any]:
        return tomllib.loads(orl(*words, *more).out)

    of_file = resolved()
    assert (of_file["dataset"], of_file["algorithm"]) == (str(plain_log), "cql")
    assert (of_file["seeds"], of_file["seed_axis"], of_file["agent"]["discount"]) == ([4, 5], "map", 0.9)
    over = resolved("--set", "agent.discount=0.8", "--set", "train.steps=80", "--steps", 90, "-d", pendulum_log)
    assert (over["dataset"], over["agent"]["discount"]) == (pendulum_log, 0.8)
    assert over["train"] == of_file["train"] | {"steps": 90}
    assert resolved("-a", "mopo", "--seed", 0, "--seed-axis", "vmap", "--set", "seeds=[9]")["seeds"] == [0]
    file.write_text(f'dataset = "{plain_log}"\nseed = 8\n')
    fit = tomllib.loads(orl("fit-model", "--config", file, "--runs", tmp_path, "--dry-run", "--no-probe").out)
    assert (fit["dataset"], fit["seed"]) == (str(plain_log), 8)
    assert tomllib.loads(orl("fit-model", "--config", file, "--seed", 0, "--dry-run", "--no-probe").out)["seed"] == 0


def test_seed_options() -> None:
    from orl.runs.seeds import parse_seeds

    assert parse_seeds(None, None) == (0,)
    assert parse_seeds(3, None) == (3,)
    assert parse_seeds(None, "0:3") == (0, 1, 2)
    assert parse_seeds(None, "5,1") == (5, 1)


def test_no_resume_refuses_a_folder_that_holds_a_run(orl: Callable[..., Any], cloned: dict[str, Any]) -> None:
    done = orl("train-policy", "--config", f"{cloned['run']}/config.toml", "--out", cloned["run"], "--no-resume")
    assert done.code == 2
    assert "already holds a run; --no-resume needs another --out, or --force to replace it" in done.err


def test_tables_fit_into_80_columns_with_nothing_cut_off(
    orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any], root: Path, pendulum_log: str
) -> None:
    shown = {
        "runs": orl("runs", "list", "--runs", root),
        "data": orl("data", "list"),
        "show": orl("data", "show", pendulum_log),
        "fit": orl("fit-model", "--config", next(root.glob("*/ensemble-*/config.toml")), "--runs", root),
        "evaluate": orl("evaluate", mopo["run"], "--episodes", 2, "--runs", root),
    }
    for name, done in shown.items():
        assert done.code == 0, name
        assert "…" not in done.out, name
        assert max(map(len, done.out.splitlines())) <= 80, name
    assert pendulum_log in shown["data"].out
    rows = [line for line in shown["evaluate"].out.splitlines() if line.startswith("│")]
    names = [row.split("│")[1].strip() for row in rows]
    assert [name for name in names if name in ("bc", "mopo")] == ["bc", "mopo"]
    assert names[0].startswith("behaviour")


def test_an_empty_folder_has_no_runs(orl: Callable[..., Any], tmp_path: Path) -> None:
    assert orl("runs", "list", "--runs", tmp_path).out == f"no runs below {tmp_path}; `orl train-policy` makes one\n"
